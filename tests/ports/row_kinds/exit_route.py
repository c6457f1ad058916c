"""Cases of routes over the transit network."""

from collections.abc import Callable
from typing import Any

from tests.ports.row_kinds.case import Case
from tests.ports.row_kinds.exits import DEFAULT, OWN, ROUTER, decided, lay_all, lay_child

from isthmus.dataplane.kind.exits.exit_route import EXIT_ROUTE, ExitRoute
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed

WANTED = ExitRoute(ROUTER, "0.0.0.0/0", "100.64.0.2")
ROW = {
    "ip_prefix": "0.0.0.0/0",
    "nexthop": "100.64.0.2",
    "external_ids": {"isthmus:router": ROUTER},
}
#: A tenant's, as Neutron writes it.
OTHERS = {
    "ip_prefix": "192.0.2.0/24",
    "nexthop": "10.0.0.9",
    "external_ids": {"neutron:is_static_route": "true"},
}


def lay(*rows: dict[str, Any]) -> Callable[[Tables], None]:
    return lay_child("static_routes", "Logical_Router_Static_Route", *rows)


def as_wanted(observed: Observed) -> bool:
    return observed.of(EXIT_ROUTE) == {WANTED: True}


CASES = (
    Case(
        name="missing; the default by the site's own gateway is Neutron's",
        tables=decided(routes=(DEFAULT, OWN)),
        northbound=lay_all(),
        finds=[("ovn.exit_route.differs", ROUTER)],
        holds=as_wanted,
    ),
    Case(
        name="as it should be, beside a tenant's",
        tables=decided(routes=(DEFAULT,)),
        northbound=lay(ROW, OTHERS),
        finds=[],
        holds=as_wanted,
    ),
    Case(
        name="twice",
        tables=decided(routes=(DEFAULT,)),
        northbound=lay(ROW, ROW),
        finds=[("ovn.exit_route.differs", ROUTER)],
        holds=as_wanted,
    ),
    Case(
        name="by the source",
        tables=decided(routes=(DEFAULT,)),
        northbound=lay({**ROW, "policy": "src-ip"}),
        finds=[("ovn.exit_route.differs", ROUTER)],
        holds=as_wanted,
    ),
    Case(
        name="one that is not wanted goes",
        tables=decided(),
        northbound=lay(ROW, OTHERS),
        finds=[("ovn.exit_route.extra", ROUTER)],
        holds=lambda seen: not seen.of(EXIT_ROUTE),
    ),
)
