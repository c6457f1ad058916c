"""What a test needs of the machine: it is skipped without, and fails where all is required.

`.ci/run` sets ISTHMUS_REQUIRE, so that a missing program never passes for a passed test there.
"""

import os
from collections.abc import Iterable
from typing import NoReturn

import pytest

#: Whoever sets this to 1 says that every test can run here.
VARIABLE = "ISTHMUS_REQUIRE"


HINT = "./dev test installs what tests need"


def skip_without(missing: Iterable[str], hint: str = HINT) -> None:
    """Skip the test if something is missing; fail it if all is required.

    Args:
        missing: what is not there, by name; nothing happens if it is empty.
        hint: how to get it.
    """
    if names := list(missing):
        lack(*names, hint=hint)


def lack(*names: str, hint: str = HINT) -> NoReturn:
    """Skip the test because something is missing; fail it if all is required."""
    reason = f"missing: {', '.join(names)} ({hint})"
    if os.environ.get(VARIABLE) == "1":
        pytest.fail(reason)
    pytest.skip(reason)
