"""Reading, comparing and writing over all kinds of rows.

Rows whose switch is missing are left out of a plan: Neutron makes switches, and the next comparison
finds them there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from isthmus.dataplane.kinds import KINDS
from isthmus.dataplane.protocols import Source
from isthmus.dataplane.row_kind import Change, Desired, Observed, Phase
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import Scope
from isthmus.model.dataplane.ovn import Capability

_C = TypeVar("_C", bound=Change)
#: What does not work without the rows of a kind, by its name.
_WITHOUT = {kind.name: kind.without for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes that make the observed rows the desired ones; empty when nothing is to be done."""

    changes: tuple[Change, ...] = ()  #: in the order in which they are written

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.changes)

    def size(self) -> int:
        """Count the rows to touch."""
        return len(self.changes)

    def of(self, change: type[_C]) -> list[_C]:
        """List the changes of one class."""
        return [one for one in self.changes if isinstance(one, change)]


def observe(rows: OvnRows, scope: Scope) -> Observed:
    """Read the rows of every kind in scope."""
    return Observed({kind.name: kind.read(rows, scope) for kind in KINDS})


def read_desired(source: Source, scope: Scope, observed: Observed) -> Desired:
    """Read from the site's tables what the rows in scope should be."""
    return Desired({kind.name: kind.desired(source, scope, observed) for kind in KINDS})


def diff_rows(desired: Desired, observed: Observed, capability: Capability) -> Plan:
    """Compute the changes that turn the observed rows into the desired ones. Pure.

    Args:
        desired: what should be, within some scope.
        observed: what is, within the same scope.
        capability: what this OVN does by itself.
    """
    ordered: dict[Phase, list[Change]] = {phase: [] for phase in Phase}
    for kind in KINDS:
        found: dict[Phase, list[Change]] = {phase: [] for phase in Phase}
        for change in kind.diff(desired, observed, capability):
            found[change.phase].append(change)
        for phase, changes in found.items():
            if phase in (Phase.REMOVE, Phase.AFTER):
                ordered[phase] = changes + ordered[phase]
            else:
                ordered[phase] += changes
    return Plan(tuple(change for phase in Phase for change in ordered[phase]))


def apply_plan(rows: OvnRows, plan: Plan) -> list[str]:
    """Write a plan: southbound chassis, then northbound rows, then bindings, then what goes.

    Returns:
        One sentence for each row that the server refused, or alone did not get through with; the
        rest is written.

    Raises:
        TimedOut: a database did not answer in time; some of the plan may be written, and what is
            tried next is half as large.
    """
    before = [one for one in plan.changes if one.phase is Phase.BEFORE]
    northbound = [one for one in plan.changes if one.phase in (Phase.REMOVE, Phase.PUT)]
    after = [one for one in plan.changes if one.phase is Phase.AFTER]
    refused = rows.sb.commit(before)
    refused += rows.nb.commit(northbound)
    return refused + rows.sb.commit(after)


def list_drift(plan: Plan, waiting: Collection[Change] = ()) -> list[dict[str, Any]]:
    """List what a plan would change, one entry a row: code, words, row, values and consequence.

    Args:
        plan: what differs.
        waiting: which of it waits until the site has recovered.
    """
    # A change need not be hashable: what it is about may hold a mapping.
    told = {(one.code, str(one)) for one in waiting}
    return [
        {
            "code": one.code,
            "what": one.what,
            "id": one.subject,
            "change": str(one),
            "without": _describe_consequence(one),
            "waits": (one.code, str(one)) in told,
        }
        for one in plan.changes
    ]


def _describe_consequence(change: Change) -> str:
    """Describe what does not work until a change is made; nothing fails for a row too many."""
    _family, name, word = change.code.split(".")
    return "" if word == "extra" else _WITHOUT[name]


def list_holdings(observed: Observed) -> Mapping[str, list[Any]]:
    """Return the parts of a site's holdings that the kinds report."""
    parts: dict[str, list[Any]] = {}
    for kind in KINDS:
        for part, found in kind.holdings(observed).items():
            parts.setdefault(part, []).extend(found)
    return parts
