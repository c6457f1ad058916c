"""Cases of transit networks."""

import dataclasses

from tests.ports.row_kinds.case import Case
from tests.ports.row_kinds.exits import (
    HERE,
    KEY,
    MACS,
    ROUTER,
    decided,
    lay_all,
    lay_network,
    lay_router,
    make_plan,
    make_transit,
)

from isthmus.dataplane.kind.exits.transit_network import TRANSIT_NETWORK
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.federation.exits.transit import make_port
from isthmus.testing.site_tables import MemoryTables, make_tables

OTHER = "66666666-6666-6666-6666-666666666666"


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


def exchanged() -> MemoryTables:
    """Return tables where another router has got a key in place of that of `ROUTER`."""
    tables = decided()()
    transit = dataclasses.replace(make_transit(), datapath_key=KEY - 1, port_keys={HERE: 1})
    tables.decided[OTHER] = make_plan(transit=make_port(transit, HERE))
    return tables


def lay_other(tables: Tables) -> None:
    """Lay the rows of both routers; the other one has the key."""
    lay_router(tables)
    router = tables.insert("Logical_Router")
    router.name = f"neutron-{OTHER}"
    switch = tables.insert("Logical_Switch")
    switch.name = f"isthmus-transit-{OTHER}"
    switch.external_ids = {"isthmus:transit": OTHER}
    switch.other_config = {"requested-tnl-key": str(KEY)}


def both_as_wanted(observed: Observed) -> bool:
    found = observed.of(TRANSIT_NETWORK).networks
    return {one: found[one].datapath_key for one in found} == {ROUTER: KEY, OTHER: KEY - 1}


def lay_network_with_the_key(tables: Tables) -> None:
    switch = tables.insert("Logical_Switch")
    switch.name = f"neutron-{OTHER}"
    switch.other_config = {"requested-tnl-key": str(KEY)}
    lay_router(tables)


CASES = (
    Case(
        name="a network that the site does not know has the key, and keeps it",
        tables=decided(),
        northbound=lay_network_with_the_key,
        finds=[],
        holds=none,
    ),
    Case(
        name="another router has the key first",
        tables=exchanged,
        northbound=lay_other,
        finds=[
            ("ovn.transit_network.differs", OTHER),
            ("ovn.transit_network.differs", ROUTER),
            ("ovn.transit_network.differs", OTHER),
        ],
        holds=both_as_wanted,
    ),
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
