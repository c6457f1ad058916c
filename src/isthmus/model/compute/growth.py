"""How servers came and went."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHistory:
    """Servers of a cell that ran, by the internal id of their flavor."""

    came: Mapping[int, int]
    went: Mapping[int, int]
    days: float  #: that this is of: less than was asked for where the cell is younger
