"""What the engine needs of others."""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from isthmus.model.compute.cloud import Flavor

Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Fit(Protocol):
    """How Nova fits instances into the NUMA nodes of hosts: what Placement does not know."""

    def count(self, flavor: Flavor) -> Counts:
        """Count for each host how many instances its nodes take; `UNBOUNDED` where no node binds.

        Raises:
            Unsupported: Nova fits this flavor in a way that is not followed here.
        """

    def copy(self) -> Self:
        """Return one that can be filled on its own."""

    def take(self, flavor: Flavor, hosts: Sequence[int], instances: Sequence[int]) -> None:
        """Fill nodes of hosts (by number) with so many instances each."""
