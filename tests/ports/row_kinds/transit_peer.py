"""Cases of the ways to routers at other sites."""

from collections.abc import Callable

from tests.ports.row_kinds.case import Case, lay_chassis
from tests.ports.row_kinds.exits import (
    MACS,
    PEER,
    ROUTER,
    decided,
    lay_all,
    lay_network,
    lay_router,
    nowhere,
    unsaid,
)

from isthmus.dataplane.kind.exits.transit_peer import TRANSIT_PEER
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import make_tables


def stands_on(chassis: str) -> Callable[[Observed], bool]:
    def holds(observed: Observed) -> bool:
        there = observed.of(TRANSIT_PEER)
        one = there.ports[PEER]
        right = f"{MACS[2]} 100.64.0.2 fd69::2"
        return (one.chassis, one.port_key, one.addresses, one.intact, there.bound[PEER]) == (
            chassis,
            2,
            right,
            True,
            chassis,
        )

    return holds


def none(observed: Observed) -> bool:
    return not observed.of(TRANSIT_PEER).ports


def lay_without(tables: Tables) -> None:
    lay_network(tables, lay_router(tables))


def lay_hypervisor(tables: Tables) -> None:
    marks = {"isthmus:shadow": "yes", "isthmus:site": "site2"}
    more = {"external_ids": marks, "other_config": {"is-remote": "true"}}
    lay_chassis(tables, "hv-g", "192.0.2.7", "site2/host-g", **more)


CASES = (
    Case(
        name="missing",
        tables=decided(),
        northbound=lay_without,
        finds=[("ovn.transit_peer.differs", ROUTER)],
        holds=stands_on("hv-g"),
    ),
    Case(
        name="on another hypervisor than the gateway's",
        tables=decided(),
        northbound=lay_all(options={"requested-tnl-key": "2", "requested-chassis": "hv-x"}),
        southbound=lay_hypervisor,
        finds=[("ovn.transit_peer.differs", ROUTER), ("ovn.transit_peer.missing", ROUTER)],
        holds=stands_on("hv-g"),
    ),
    Case(
        name="where the gateway's is not said, any that is known",
        tables=unsaid,
        northbound=lay_without,
        finds=[("ovn.transit_peer.differs", ROUTER)],
        holds=stands_on("hv-b"),
    ),
    Case(
        name="where none is known, none",
        tables=nowhere,
        northbound=lay_all(),
        finds=[("ovn.transit_peer.extra", ROUTER)],
        holds=none,
    ),
    Case(
        name="of a router that needs none any more goes",
        tables=make_tables,
        northbound=lay_all(),
        finds=[("ovn.transit_peer.extra", ROUTER)],
        holds=none,
    ),
)
