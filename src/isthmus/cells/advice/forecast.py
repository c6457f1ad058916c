"""What will have come in so many days, if servers come and go as they did."""

import math
from collections import defaultdict
from collections.abc import Iterable

from isthmus import errors
from isthmus.model.compute.growth import CellHistory

#: Less than that, in days, is no history.
SHORTEST = 1.0


def plan_growth(histories: Iterable[CellHistory], after_days: float) -> dict[int, int]:
    """Return how many more servers of each flavor there will be, rounded up.

    The cells are one cloud: what one of them lost another may have won. A flavor of which there
    were more leavers takes nothing, and gives nothing either: which hosts it leaves nobody knows.

    Args:
        histories: of all cells that answered.
        after_days: from now.

    Raises:
        Unsupported: the oldest server is younger than a day.
    """
    known = list(histories)
    days = max((one.days for one in known), default=0.0)
    if days < SHORTEST:
        raise errors.Unsupported(
            f"the oldest server is {days * 24:.1f} h old: that is no history to go by"
        )
    net: dict[int, int] = defaultdict(int)
    for one in known:
        for flavor, count in one.came.items():
            net[flavor] += count
        for flavor, count in one.went.items():
            net[flavor] -= count
    grown = {flavor: math.ceil(count * after_days / days) for flavor, count in net.items()}
    return {flavor: count for flavor, count in grown.items() if count > 0}
