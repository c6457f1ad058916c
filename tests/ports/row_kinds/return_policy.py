"""Cases of policies for replies."""

from collections.abc import Callable
from typing import Any

from tests.ports.row_kinds.case import Case
from tests.ports.row_kinds.exits import POLICY, ROUTER, decided, lay_all, lay_child

from isthmus.dataplane.kind.return_policy import RETURN_POLICY, PolicyRow
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed

MATCH = "ip4.src == 10.0.0.5 && !(ip4.dst == {10.0.0.0/24, 100.64.0.0/17})"
ROW = {
    "priority": 1000,
    "match": MATCH,
    "action": "reroute",
    "nexthops": ["100.64.0.2"],
    "external_ids": {"isthmus:router": ROUTER},
}
#: An operator's.
OTHERS = {**ROW, "priority": 10, "external_ids": {}}


def lay(*rows: dict[str, Any]) -> Callable[[Tables], None]:
    return lay_child("policies", "Logical_Router_Policy", *rows)


def as_wanted(observed: Observed) -> bool:
    return observed.of(RETURN_POLICY) == {PolicyRow(ROUTER, MATCH, "100.64.0.2"): True}


CASES = (
    Case(
        name="missing",
        tables=decided(policies=(POLICY,)),
        northbound=lay_all(),
        finds=[("ovn.return_policy.differs", ROUTER)],
        holds=as_wanted,
    ),
    Case(
        name="as it should be, beside an operator's",
        tables=decided(policies=(POLICY,)),
        northbound=lay(ROW, OTHERS),
        finds=[],
        holds=as_wanted,
    ),
    Case(
        name="one that drops",
        tables=decided(policies=(POLICY,)),
        northbound=lay({**ROW, "action": "drop"}),
        finds=[("ovn.return_policy.differs", ROUTER)],
        holds=as_wanted,
    ),
    Case(
        name="one to another site goes",
        tables=decided(policies=(POLICY,)),
        northbound=lay({**ROW, "nexthops": ["100.64.0.3"]}),
        finds=[("ovn.return_policy.extra", ROUTER), ("ovn.return_policy.differs", ROUTER)],
        holds=as_wanted,
    ),
)
