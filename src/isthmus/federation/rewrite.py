"""What Neutron has to write into OVN once more, since OVN is older or newer than it believes. Pure.

Neutron notes beside each object the revision that it wrote into OVN, and in OVN's row the same. Its
maintenance worker writes an object again whose noted revision is not the object's own. That finds
what failed, and not what was lost: where one of the two databases came back from a backup, Neutron
believes that a row is written which OVN has not, or has older. And where OVN's row is of a later
revision than the object, OVN's driver takes each change of the object for one that is late, and
leaves it out.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An object of Neutron's and its row in OVN."""

    kind: str  #: as in Neutron's `ovn_revision_numbers`
    id: str
    revision: int  #: the object's own
    noted: int | None  #: which one Neutron believes to have written; None: it has no note
    seen: int | None  #: of OVN's row; None where there is none
    same: bool = True  #: what the row says, as far as it was compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrites:
    """What is to be done for Neutron's maintenance worker to write objects again."""

    forget: tuple[tuple[str, str], ...] = ()  #: (kind, id): note that it was never written
    lift: tuple[tuple[str, str, int], ...] = ()  #: (kind, id, revision): give it this revision

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.forget or self.lift)


def plan_rewrites(objects: Iterable[Written]) -> Rewrites:
    """Decide which objects are to be written again.

    Args:
        objects: as Neutron has them, read after OVN's rows; so none is younger in OVN than here
            unless a database came back from a backup.
    """
    forget: list[tuple[str, str]] = []
    lift: list[tuple[str, str, int]] = []
    for one in objects:
        if one.seen is not None and one.seen > one.revision:
            lift.append((one.kind, one.id, one.seen + 1))
        elif one.noted is not None and one.noted != one.revision:
            continue  # Neutron knows; it is being written, or was not for a reason
        elif one.seen is None or one.seen < one.revision or (one.noted is None and not one.same):
            # Without a note Neutron's worker does not look at it, whatever its revision.
            forget.append((one.kind, one.id))
        elif not one.same:
            lift.append((one.kind, one.id, one.revision + 1))
    return Rewrites(forget=tuple(forget), lift=tuple(lift))
