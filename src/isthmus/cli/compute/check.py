"""What commands on cells check of their options."""

import math

from isthmus import errors

#: The longest wait that is taken, in seconds.
MOST_SECONDS = 3600


def check_timeout(timeout: float) -> None:
    """Check a number of seconds.

    Raises:
        Invalid: it is none, or more than anybody waits.
    """
    if not math.isfinite(timeout) or timeout > MOST_SECONDS:
        raise errors.Invalid(f"--timeout {timeout:g}: give seconds, {MOST_SECONDS} at most")
