"""Cases of transit networks."""

from tests.ports.row_kinds.case import Case
from tests.ports.row_kinds.exits import KEY, MACS, ROUTER, decided, lay_all, lay_network, lay_router

from isthmus.dataplane.kind.transit_network import TRANSIT_NETWORK
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import make_tables


def as_wanted(observed: Observed) -> bool:
    (one,) = observed.of(TRANSIT_NETWORK).networks.values()
    addresses = frozenset({"100.64.0.1/17", "fd69::1/64"})
    return (one.intact, one.datapath_key, one.mac, one.networks) == (True, KEY, MACS[1], addresses)


def none(observed: Observed) -> bool:
    return not observed.of(TRANSIT_NETWORK).networks


def lay_other_mac(tables: Tables) -> None:
    lay_network(tables, lay_router(tables), mac="0a:00:00:00:00:01")


def lay_switch_alone(tables: Tables) -> None:
    switch = tables.insert("Logical_Switch")
    switch.name = f"isthmus-transit-{ROUTER}"
    switch.external_ids = {"isthmus:transit": ROUTER}


CASES = (
    Case(
        name="missing",
        tables=decided(),
        northbound=lay_router,
        finds=[("ovn.transit_network.differs", ROUTER)],
        holds=as_wanted,
    ),
    Case(name="as it should be", tables=decided(), northbound=lay_all(), finds=[], holds=as_wanted),
    Case(
        name="another MAC",
        tables=decided(),
        northbound=lay_other_mac,
        finds=[("ovn.transit_network.differs", ROUTER)],
        holds=as_wanted,
    ),
    Case(
        name="of a router that Neutron has not made yet waits",
        tables=decided(),
        finds=[],
        holds=none,
    ),
    Case(
        name="of a router that is gone goes",
        tables=decided(),
        northbound=lay_switch_alone,
        finds=[("ovn.transit_network.extra", ROUTER)],
        holds=none,
    ),
    Case(
        name="of a router that needs none any more goes",
        tables=make_tables,
        northbound=lay_all(),
        finds=[("ovn.transit_network.extra", ROUTER)],
        holds=none,
    ),
)
