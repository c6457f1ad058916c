"""Cases of translations."""

from collections.abc import Callable
from typing import Any

from tests.ports.row_kinds.case import Case
from tests.ports.row_kinds.exits import (
    FLOATING,
    ROUTER,
    SERVER,
    SNAT,
    decided,
    lay_all,
    lay_child,
)

from isthmus.dataplane.kind.exits.exit_nat import EXIT_NAT, ExitNat
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import MemoryTables

CENTRAL = ExitNat(ROUTER, "dnat_and_snat", "172.16.0.9", "10.0.0.5")
AT_PORT = ExitNat(
    ROUTER, "dnat_and_snat", "172.16.0.9", "10.0.0.5", mac="fa:16:3e:00:00:09", port_id=SERVER
)
OF_SUBNET = ExitNat(ROUTER, "snat", "172.16.0.2", "10.0.0.0/24")
ROW = {
    "type": "dnat_and_snat",
    "external_ip": "172.16.0.9",
    "logical_ip": "10.0.0.5",
    "external_ids": {"isthmus:router": ROUTER},
}
#: As Neutron writes it for all that leaves by a gateway.
OTHERS = {"type": "snat", "external_ip": "172.16.0.2", "logical_ip": "0.0.0.0/0"}
MINE = {**OTHERS, "logical_ip": "10.0.0.0/24", "external_ids": {"isthmus:router": ROUTER}}


def lay(*rows: dict[str, Any]) -> Callable[[Tables], None]:
    return lay_child("nat", "NAT", *rows)


def are(*wanted: ExitNat) -> Callable[[Observed], bool]:
    return lambda seen: seen.of(EXIT_NAT).ours == dict.fromkeys(wanted, True)


def at_ports() -> MemoryTables:
    tables = decided(floating=(FLOATING,))()
    tables.at_ports = True
    return tables


CASES = (
    Case(
        name="of a floating IP missing",
        tables=decided(floating=(FLOATING,)),
        northbound=lay_all(),
        finds=[("ovn.exit_nat.differs", ROUTER)],
        holds=are(CENTRAL),
    ),
    Case(
        name="as it should be",
        tables=decided(floating=(FLOATING,)),
        northbound=lay(ROW, OTHERS),
        finds=[],
        holds=are(CENTRAL),
    ),
    Case(
        name="where the port's own hypervisor translates",
        tables=at_ports,
        northbound=lay(ROW),
        finds=[("ovn.exit_nat.differs", ROUTER)],
        holds=are(AT_PORT),
    ),
    Case(
        name="twice",
        tables=decided(floating=(FLOATING,)),
        northbound=lay(ROW, {**ROW, "external_mac": "fa:16:3e:00:00:09", "logical_port": SERVER}),
        finds=[("ovn.exit_nat.differs", ROUTER)],
        holds=are(CENTRAL),
    ),
    Case(
        name="of a subnet that nothing of Neutron's covers",
        tables=decided(snats=(SNAT,)),
        northbound=lay({**OTHERS, "logical_ip": "10.9.0.0/24"}),
        finds=[("ovn.exit_nat.differs", ROUTER)],
        holds=are(OF_SUBNET),
    ),
    Case(
        name="of a subnet that Neutron's covers goes",
        tables=decided(snats=(SNAT,)),
        northbound=lay(MINE, OTHERS),
        finds=[("ovn.exit_nat.extra", ROUTER)],
        holds=are(),
    ),
    Case(
        name="of a floating IP that is no more goes",
        tables=decided(),
        northbound=lay(ROW),
        finds=[("ovn.exit_nat.extra", ROUTER)],
        holds=are(),
    ),
)
