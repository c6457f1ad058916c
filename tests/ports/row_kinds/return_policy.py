"""Cases of policies for replies."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tests.ports.row_kinds.case import Case
from tests.ports.row_kinds.exits import POLICY, ROUTER, WEB, decided, lay_all, lay_child

from isthmus.dataplane.kind.exits.return_policy import RETURN_POLICY, PolicyRow
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.model.exits.request import Ports

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


SSH = dataclasses.replace(WEB, inside=Ports(22, 22), outside=Ports(22, 22), replies=POLICY)
RANGE = dataclasses.replace(WEB, replies=POLICY)
OF_PORTS = {
    f"ip4.src == 10.0.0.5 && {ports} && !(ip4.dst == {{10.0.0.0/24, 100.64.0.0/17}})"
    for ports in ("tcp.src == 22", "tcp.src >= 8080 && tcp.src <= 8081")
}


def of_ports(observed: Observed) -> bool:
    wanted = {PolicyRow(ROUTER, match, "100.64.0.2"): True for match in OF_PORTS}
    return observed.of(RETURN_POLICY) == wanted


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
        name="of forwarded ports alone",
        tables=decided(forwarded=(SSH, RANGE)),
        northbound=lay(ROW),
        finds=[
            ("ovn.return_policy.extra", ROUTER),
            ("ovn.return_policy.differs", ROUTER),
            ("ovn.return_policy.differs", ROUTER),
        ],
        holds=of_ports,
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
