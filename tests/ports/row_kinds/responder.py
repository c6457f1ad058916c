"""Cases of responders."""

from collections.abc import Callable
from typing import Any

from tests.ports.row_kinds.case import Case, lay_port, lay_switch

from isthmus.dataplane.kind.responder import RESPONDER, RaMode, ResponderKey, choose_mac
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.model.dataplane.ovn import RaSubnet
from isthmus.testing.site_tables import NET, RESPONDER_PORT, MemoryTables, make_tables

KEY = ResponderKey(NET, RaMode.SLAAC)
ADVERTISED = {
    "address_mode": "slaac",
    "router_preference": "LOW",
    "send_periodic": "false",
    "mtu": "1442",
}


def slaac() -> MemoryTables:
    tables = make_tables()
    tables.subnets = [
        RaSubnet(network_id=NET, cidr="2001:db8::/64", ra_mode="slaac", mtu=1442, routed=False)
    ]
    tables.keys = {RESPONDER_PORT: (NET, 9)}
    return tables


def lay(**changes: Any) -> Callable[[Tables], None]:
    def act(tables: Tables) -> None:
        port = tables.insert("Logical_Router_Port")
        port.name = f"isthmus-ra-{RESPONDER_PORT}"
        port.mac, port.networks = choose_mac(KEY), ["2001:db8::/64"]
        port.ipv6_ra_configs = ADVERTISED
        for column, value in changes.items():
            setattr(port, column, value)
        router = tables.insert("Logical_Router")
        router.name, router.ports = f"isthmus-ra-{NET}-slaac", [port]
        router.external_ids = {"isthmus:responder": f"{NET}/slaac", "isthmus:port": RESPONDER_PORT}
        lay_port(
            tables,
            lay_switch(tables),
            RESPONDER_PORT,
            type="router",
            options={"router-port": port.name, "requested-tnl-key": "9"},
            addresses=["router"],
            external_ids={"isthmus:responder": NET},
        )

    return act


def as_wanted(observed: Observed) -> bool:
    found = observed.of(RESPONDER)
    return list(found) == [KEY] and found[KEY].intact and found[KEY].mtu == 1442


CASES = (
    Case(
        name="missing",
        tables=slaac,
        finds=[("ovn.responder.differs", NET)],
        holds=as_wanted,
    ),
    Case(name="as it should be", tables=slaac, northbound=lay(), finds=[], holds=as_wanted),
    Case(
        name="another MTU",
        tables=slaac,
        northbound=lay(ipv6_ra_configs={**ADVERTISED, "mtu": "1500"}),
        finds=[("ovn.responder.differs", NET)],
        holds=as_wanted,
    ),
    Case(
        name="one that speaks for a router that is preferred",
        tables=slaac,
        northbound=lay(ipv6_ra_configs={**ADVERTISED, "router_preference": "HIGH"}),
        finds=[("ovn.responder.differs", NET)],
        holds=as_wanted,
    ),
    Case(
        name="one on a network that wants none goes",
        tables=make_tables,
        northbound=lay(),
        finds=[("ovn.responder.extra", NET)],
        holds=lambda seen: not seen.of(RESPONDER),
    ),
)
