"""Cases of limits of floating IPs."""

import dataclasses
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from tests.ports.row_kinds.case import Case
from tests.ports.row_kinds.exits import ROUTER, SERVER, decided, lay_network, lay_peer, lay_router

from isthmus.dataplane.kind.exits.exit_qos import EXIT_QOS, QosRow
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.model.exits.plan import FloatingLimit
from isthmus.model.exits.request import Direction, Limit

NET, GATEWAY = "77777777-7777-7777-7777-777777777777", "88888888-8888-8888-8888-888888888888"
OUT = Limit(Direction.EGRESS, max_kbps=3000, burst_kbps=300, dscp=26)
IN = Limit(Direction.INGRESS, max_kbps=2000)
LIMIT = FloatingLimit(
    floating_ip_id="f1",
    external=ip_address("172.16.0.9"),  # type: ignore[arg-type]
    network_id=NET,
    gateway_port_id=GATEWAY,
    port_id=SERVER,
    limits=(OUT,),
)
BOTH = dataclasses.replace(LIMIT, limits=(OUT, IN))
AT_GATEWAY = f'is_chassis_resident("cr-lrp-{GATEWAY}")'
MATCH = f'inport == "{GATEWAY}" && ip4.src == 172.16.0.9 && {AT_GATEWAY}'
MATCH_IN = f'outport == "{GATEWAY}" && ip4.dst == 172.16.0.9 && {AT_GATEWAY}'
ROW = {
    "priority": 2003,
    "direction": "from-lport",
    "match": MATCH,
    "bandwidth": {"rate": 3000, "burst": 300},
    "action": {"dscp": 26},
    "external_ids": {"isthmus:router": ROUTER, "isthmus:network": NET},
}
#: Neutron's, of a port.
OTHERS = {**ROW, "priority": 2002, "external_ids": {"neutron:port_id": SERVER}}


def lay(*rows: dict[str, Any]) -> Callable[[Tables], None]:
    """Lay a router with its transit network, and its external network with limits."""

    def act(tables: Tables) -> None:
        lay_peer(tables, lay_network(tables, lay_router(tables)))
        switch = tables.insert("Logical_Switch")
        switch.name = f"neutron-{NET}"
        for values in rows:
            row = tables.insert("QoS")
            for name, value in values.items():
                setattr(row, name, value)
            switch.addvalue("qos_rules", row)

    return act


OUT_ROW = QosRow(
    ROUTER, NET, "from-lport", MATCH, (("burst", 300), ("rate", 3000)), (("dscp", 26),)
)
IN_ROW = QosRow(ROUTER, NET, "to-lport", MATCH_IN, (("rate", 2000),), ())


def one_way(observed: Observed) -> bool:
    return observed.of(EXIT_QOS) == {OUT_ROW: True}


def both_ways(observed: Observed) -> bool:
    return observed.of(EXIT_QOS) == {OUT_ROW: True, IN_ROW: True}


def none(observed: Observed) -> bool:
    return observed.of(EXIT_QOS) == {}


DIFFERS, EXTRA = ("ovn.exit_qos.differs", ROUTER), ("ovn.exit_qos.extra", ROUTER)
CASES = (
    Case(
        name="missing",
        tables=decided(limits=(BOTH,)),
        northbound=lay(OTHERS),
        finds=[DIFFERS, DIFFERS],
        holds=both_ways,
    ),
    Case(
        name="as it should be, beside Neutron's",
        tables=decided(limits=(LIMIT,)),
        northbound=lay(ROW, OTHERS),
        finds=[],
        holds=one_way,
    ),
    Case(
        name="another rate is written over",
        tables=decided(limits=(LIMIT,)),
        northbound=lay({**ROW, "bandwidth": {"rate": 9}, "action": {}}),
        finds=[DIFFERS],
        holds=one_way,
    ),
    Case(
        name="twice",
        tables=decided(limits=(LIMIT,)),
        northbound=lay(ROW, ROW),
        finds=[DIFFERS],
        holds=one_way,
    ),
    Case(
        name="of another priority",
        tables=decided(limits=(LIMIT,)),
        northbound=lay({**ROW, "priority": 7}),
        finds=[DIFFERS],
        holds=one_way,
    ),
    Case(
        name="too many",
        tables=decided(),
        northbound=lay(ROW, OTHERS),
        finds=[EXTRA],
        holds=none,
    ),
)
