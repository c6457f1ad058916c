"""The machine's clock."""

import time


class SystemClock:
    """The machine's monotonic clock, which no correction of the time moves."""

    def seconds(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()
