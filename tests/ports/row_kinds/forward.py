"""Cases of load balancers of port forwardings."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tests.ports.row_kinds.case import Case, lay_switch
from tests.ports.row_kinds.exits import ROUTER, WEB, decided, lay_network, lay_peer, lay_router

from isthmus.dataplane.kind.exits.forward import FORWARD, ForwardRow
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.model.exits.request import Ports, Protocol
from isthmus.testing.site_tables import NET

VIPS = {"172.16.0.10:80": "10.0.0.5:8080", "172.16.0.10:81": "10.0.0.5:8081"}
ON_ROUTER, ON_SWITCH = ("Logical_Router", f"neutron-{ROUTER}"), ("Logical_Switch", f"neutron-{NET}")
BOTH = (ON_ROUTER, ON_SWITCH)
NAME = f"isthmus-forward-{ROUTER}-f2"
AS_IT_SHOULD_BE = ForwardRow(f"{NAME}-tcp", ROUTER, "f2", "tcp", tuple(sorted(VIPS.items())), BOTH)
ROW = {
    "name": f"{NAME}-tcp",
    "protocol": ["tcp"],
    "vips": VIPS,
    "external_ids": {"isthmus:router": ROUTER, "isthmus:floating_ip": "f2"},
}
#: As ML2/OVN writes it for forwardings of the site's own.
OTHERS = {
    **ROW,
    "name": "pf-floatingip-f9-tcp",
    "external_ids": {
        "neutron:device_owner": "port_forwarding_plugin",
        "neutron:fip_id": "f9",
        "neutron:router_name": f"neutron-{ROUTER}",
    },
}
FAR = dataclasses.replace(WEB, answers=False)
DNS = dataclasses.replace(
    WEB, forwarding_id="p2", protocol=Protocol.UDP, outside=Ports(53, 54), inside=Ports(53, 53)
)
OF_DNS = ForwardRow(
    f"{NAME}-udp",
    ROUTER,
    "f2",
    "udp",
    (("172.16.0.10:53", "10.0.0.5:53"), ("172.16.0.10:54", "10.0.0.5:53")),
    BOTH,
)


def lay_port_of(tables: Tables, router: Any, name: str, **said: str) -> None:
    port = tables.insert("Logical_Router_Port")
    port.name, port.mac, port.networks = f"lrp-{name}", "fa:16:3e:00:00:01", ["10.0.0.1/24"]
    port.external_ids = {f"neutron:{key}": value for key, value in said.items()}
    router.addvalue("ports", port)


def lay(
    *rows: tuple[dict[str, Any], tuple[Any, ...]], joins: bool = True
) -> Callable[[Tables], None]:
    """Lay a router with an interface on `NET` and a gateway, and load balancers on some of them."""

    def act(tables: Tables) -> None:
        router = lay_router(tables)
        lay_peer(tables, lay_network(tables, router))
        outside = tables.insert("Logical_Switch")
        outside.name = "neutron-outside"
        lay_port_of(tables, router, "out", network_name="neutron-outside", is_ext_gw="True")
        places = {ON_ROUTER: router, "outside": outside, ON_SWITCH: lay_switch(tables)}
        if joins:
            lay_port_of(tables, router, "in", network_name=f"neutron-{NET}", is_ext_gw="False")
        for values, on in rows:
            row = tables.insert("Load_Balancer")
            for name, value in values.items():
                setattr(row, name, value)
            for place in on:
                places[place].addvalue("load_balancer", row)

    return act


def are(*wanted: ForwardRow) -> Callable[[Observed], bool]:
    return lambda seen: seen.of(FORWARD).ours == dict.fromkeys(wanted, True)


DIFFERS, EXTRA = [("ovn.forward.differs", "f2")], [("ovn.forward.extra", "f2")]
CASES = (
    Case(
        name="missing",
        tables=decided(forwarded=(WEB,)),
        northbound=lay(),
        finds=DIFFERS,
        holds=are(AS_IT_SHOULD_BE),
    ),
    Case(
        name="as it should be, beside one of the site's own",
        tables=decided(forwarded=(WEB,)),
        northbound=lay((ROW, BOTH), (OTHERS, BOTH)),
        finds=[],
        holds=are(AS_IT_SHOULD_BE),
    ),
    Case(
        name="one for each protocol, a range to one port",
        tables=decided(forwarded=(WEB, DNS)),
        northbound=lay((ROW, BOTH)),
        finds=DIFFERS,
        holds=are(AS_IT_SHOULD_BE, OF_DNS),
    ),
    Case(
        name="with a port too many",
        tables=decided(forwarded=(WEB,)),
        northbound=lay(({**ROW, "vips": {**VIPS, "172.16.0.10:82": "10.0.0.5:1"}}, BOTH)),
        finds=DIFFERS,
        holds=are(AS_IT_SHOULD_BE),
    ),
    Case(
        name="that somebody has taken from the router",
        tables=decided(forwarded=(WEB,)),
        northbound=lay((ROW, (ON_SWITCH,))),
        finds=DIFFERS,
        holds=are(AS_IT_SHOULD_BE),
    ),
    Case(
        name="of a floating IP of another site: on the switch alone",
        tables=decided(forwarded=(FAR,)),
        northbound=lay((ROW, BOTH)),
        finds=DIFFERS,
        holds=are(dataclasses.replace(AS_IT_SHOULD_BE, places=(ON_SWITCH,))),
    ),
    Case(
        name="on a switch that the router has left",
        tables=decided(forwarded=(WEB,)),
        northbound=lay((ROW, BOTH), joins=False),
        finds=DIFFERS,
        holds=are(dataclasses.replace(AS_IT_SHOULD_BE, places=(ON_ROUTER,))),
    ),
    Case(
        name="on the external network's switch",
        tables=decided(forwarded=(WEB,)),
        northbound=lay((ROW, (*BOTH, "outside"))),
        finds=DIFFERS,
        holds=are(AS_IT_SHOULD_BE),
    ),
    Case(
        name="with nothing to be on goes",
        tables=decided(forwarded=(FAR,)),
        northbound=lay((ROW, BOTH), joins=False),
        finds=EXTRA,
        holds=are(),
    ),
    Case(
        name="twice",
        tables=decided(forwarded=(WEB,)),
        northbound=lay((ROW, BOTH), (ROW, ())),
        finds=DIFFERS,
        holds=are(AS_IT_SHOULD_BE),
    ),
    Case(
        name="that somebody has given another name",
        tables=decided(forwarded=(WEB,)),
        northbound=lay(({**ROW, "name": "web"}, BOTH)),
        finds=[*EXTRA, *DIFFERS],
        holds=are(AS_IT_SHOULD_BE),
    ),
    Case(
        name="that is no more goes",
        tables=decided(),
        northbound=lay((ROW, BOTH)),
        finds=EXTRA,
        holds=are(),
    ),
)
