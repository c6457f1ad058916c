"""A router with exits, as what is decided of it and as rows of OVN."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from tests.ports.row_kinds.case import lay_port

from isthmus.dataplane.protocols import Tables
from isthmus.federation.exits.transit import make_mac, make_port
from isthmus.model.exits.plan import (
    FloatingNat,
    Forwarded,
    Purpose,
    ReturnPolicy,
    Route,
    SitePlan,
    Snat,
    Way,
)
from isthmus.model.exits.request import Hypervisor, Ports, Protocol, Transit
from isthmus.model.site import SiteName
from isthmus.testing.site_tables import MemoryTables, make_shadow, make_tables

ROUTER = "44444444-4444-4444-4444-444444444444"
SERVER = "55555555-5555-5555-5555-555555555555"
KEY = 0xFFF0A1
HERE, THERE = SiteName("site1"), SiteName("site2")
SWITCH = f"isthmus-transit-{ROUTER}"
LRP, LSP, PEER = f"{SWITCH}-lrp", f"{SWITCH}-lsp", f"{SWITCH}/site2"
MACS = {1: make_mac(KEY, 1), 2: make_mac(KEY, 2)}
GATEWAY = Hypervisor(chassis="hv-g", hostname="host-g", encap_ip="192.0.2.7")


def make_transit(**hypervisors: Hypervisor) -> Transit:
    return Transit(
        ranges=(ip_network("100.64.0.0/17"), ip_network("fd69::/64")),
        datapath_key=KEY,
        port_keys={HERE: 1, THERE: 2},
        arrives_at={SiteName(site): one for site, one in hypervisors.items()},
    )


def make_plan(**more: Any) -> SitePlan:
    """Return a plan with a port on the transit network, on a known hypervisor of site2."""
    return SitePlan(**{"transit": make_port(make_transit(site2=GATEWAY), HERE), **more})


def decided(**more: Any) -> Callable[[], MemoryTables]:
    def make() -> MemoryTables:
        tables = make_tables()
        tables.decided[ROUTER] = make_plan(**more)
        return tables

    return make


def unsaid() -> MemoryTables:
    """Return tables where a hypervisor of site2 is known by a shadow alone."""
    tables = make_tables(make_shadow(1))
    tables.decided[ROUTER] = make_plan(transit=make_port(make_transit(), HERE))
    return tables


def nowhere() -> MemoryTables:
    """Return tables where no hypervisor of site2 is known."""
    tables = make_tables()
    tables.decided[ROUTER] = make_plan(transit=make_port(make_transit(), HERE))
    return tables


def lay_router(tables: Tables) -> Any:
    router = tables.insert("Logical_Router")
    router.name = f"neutron-{ROUTER}"
    return router


def lay_network(tables: Tables, router: Any, **changes: Any) -> Any:
    """Lay a transit network as it should be, but for some columns of the router's port."""
    port = tables.insert("Logical_Router_Port")
    port.name, port.mac = LRP, MACS[1]
    port.networks = ["100.64.0.1/17", "fd69::1/64"]
    port.external_ids = {"isthmus:transit": ROUTER}
    for column, value in changes.items():
        setattr(port, column, value)
    router.addvalue("ports", port)
    switch = tables.insert("Logical_Switch")
    switch.name = SWITCH
    switch.other_config = {"requested-tnl-key": str(KEY)}
    switch.external_ids = {"isthmus:transit": ROUTER}
    lay_port(
        tables,
        switch,
        LSP,
        type="router",
        options={"router-port": LRP, "requested-tnl-key": "1"},
        addresses=["router"],
        external_ids={"isthmus:transit": ROUTER},
    )
    return switch


def lay_peer(tables: Tables, switch: Any, **changes: Any) -> Any:
    columns = {
        "type": "remote",
        "options": {"requested-tnl-key": "2", "requested-chassis": "hv-g"},
        "addresses": [f"{MACS[2]} 100.64.0.2 fd69::2"],
        "external_ids": {"isthmus:transit": ROUTER, "isthmus:site": "site2"},
    }
    return lay_port(tables, switch, PEER, **{**columns, **changes})


def lay_all(**changes: Any) -> Callable[[Tables], None]:
    """Lay a router with its transit network and the peer there."""

    def act(tables: Tables) -> None:
        switch = lay_network(tables, lay_router(tables))
        lay_peer(tables, switch, **changes)

    return act


def lay_child(column: str, table: str, *rows: dict[str, Any]) -> Callable[[Tables], None]:
    """Lay a router with its transit network and rows that hang on it."""

    def act(tables: Tables) -> None:
        router = lay_router(tables)
        lay_peer(tables, lay_network(tables, router))
        for values in rows:
            row = tables.insert(table)
            for name, value in values.items():
                setattr(row, name, value)
            router.addvalue(column, row)

    return act


DEFAULT = Route(
    purpose=Purpose.DEFAULT,
    destination=ip_network("0.0.0.0/0"),
    next_hop=ip_address("100.64.0.2"),
    way=Way.TRANSIT,
    site=THERE,
)
OWN = Route(
    purpose=Purpose.DEFAULT,
    destination=ip_network("::/0"),
    next_hop=ip_address("2001:db8::1"),
    way=Way.LOCAL,
    site=HERE,
)
POLICY = ReturnPolicy(
    floating_ip_id="f1",
    source=ip_address("10.0.0.5"),  # type: ignore[arg-type]
    inside=(ip_network("10.0.0.0/24"), ip_network("100.64.0.0/17")),  # type: ignore[arg-type]
    next_hop=ip_address("100.64.0.2"),
    site=THERE,
)
FLOATING = FloatingNat(
    floating_ip_id="f1",
    external=ip_address("172.16.0.9"),  # type: ignore[arg-type]
    internal=ip_address("10.0.0.5"),  # type: ignore[arg-type]
    port_id=SERVER,
    at_home=True,
    mac="fa:16:3e:00:00:09",
)
WEB = Forwarded(
    forwarding_id="p1",
    floating_ip_id="f2",
    protocol=Protocol.TCP,
    external=ip_address("172.16.0.10"),  # type: ignore[arg-type]
    outside=Ports(80, 81),
    internal=ip_address("10.0.0.5"),  # type: ignore[arg-type]
    inside=Ports(8080, 8081),
    answers=True,
)
SNAT = Snat(
    network_id="ext",
    external=ip_address("172.16.0.2"),  # type: ignore[arg-type]
    internal=ip_network("10.0.0.0/24"),  # type: ignore[arg-type]
)
