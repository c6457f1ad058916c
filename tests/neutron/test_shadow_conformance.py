"""A shadow's row is the row that ML2/OVN writes for the port at its home, but for a few columns.

Those are the type and the options (a shadow is `remote`, on a chassis of another site), the port
security and the DHCP options (both speak of what comes out of the port, which happens at its home),
and the external ids, by which Neutron knows its own rows.
"""

import json
import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_local_report import settled

from isthmus.dataplane.kind.shadow_port import RemotePort, render_port
from isthmus.model.dataplane.shadow import Shadow

pytestmark = pytest.mark.neutron

MAC, OTHER = "fa:16:41:77:00:01", "fa:16:41:77:00:02"
#: What a port group of every secured port is called; it drops what no security group admits.
DROP_GROUP = "neutron_pg_drop"
DHCP = {"ip_version": 4, "cidr": "10.7.0.0/24"}
NO_DHCP = {**DHCP, "enable_dhcp": False}
SLAAC = {
    "ip_version": 6,
    "cidr": "fd00:7::/64",
    "ipv6_ra_mode": "slaac",
    "ipv6_address_mode": "slaac",
}
STATEFUL = {
    "ip_version": 6,
    "cidr": "fd00:8::/64",
    "ipv6_ra_mode": "dhcpv6-stateful",
    "ipv6_address_mode": "dhcpv6-stateful",
}
OPEN: dict[str, Any] = {"port_security_enabled": False, "security_groups": []}


def pair(address: str, mac: str | None = None) -> dict[str, Any]:
    body = {"ip_address": address, **({"mac_address": mac} if mac else {})}
    return {"mac_address": MAC, "allowed_address_pairs": [body]}


#: The subnets of a network, and what a port on it says.
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "plain": ([DHCP], {}),
    "two families": ([DHCP, SLAAC], {}),
    "stateful": ([STATEFUL], {}),
    "no group": ([DHCP], {"security_groups": []}),
    "no address": ([], {}),
    "down": ([DHCP], {"admin_state_up": False}),
    "pair": ([DHCP], pair("10.7.0.200")),
    "pair that is a neighbour's address": ([DHCP], pair("10.7.0.1")),
    "pair that is a whole subnet": ([DHCP], pair("0.0.0.0/0")),
    "IPv6 pair": ([DHCP, SLAAC], pair("fd00:7::200")),
    "pair with a MAC of its own": ([DHCP], pair("10.7.0.201", "00:00:5e:00:01:07")),
    "open": ([DHCP], OPEN),
    "open with SLAAC": ([SLAAC], OPEN),
    "open without DHCP": ([NO_DHCP], OPEN),
    "open, DHCP switched off for it": (
        [DHCP],
        {**OPEN, "extra_dhcp_opts": [{"opt_name": "dhcp_disabled", "opt_value": "true"}]},
    ),
    "open without DHCP, and stateful IPv6": ([NO_DHCP, STATEFUL], OPEN),
}


@pytest.mark.parametrize("case", CASES)
def test_a_shadow_is_written_as_the_port_itself(
    case: str, central: CentralServer, site1: LocalServer
) -> None:
    subnets, values = CASES[case]
    project = uuid.uuid4().hex
    network = central.create("network", tenant(project), name="n")
    for subnet in subnets:
        central.create("subnet", tenant(project), network_id=network["id"], **subnet)
    central.create("site_presence", ADMIN, network_id=network["id"], site="site2")
    body = {
        "network_id": network["id"],
        "project_id": project,
        "device_id": str(uuid.uuid4()),
        "device_owner": "compute:nova",
        "binding:host_id": "host1",
        **values,
    }
    port = site1.create("port", ADMIN, **body)
    settled(site1, port["id"])
    (state,) = central.desired("site2", ("shadow", port["id"])).values()
    row = read_row(site1, port["id"])
    shadow = render(Shadow.from_dict(state), row["groups"])
    assert sorted(shadow.addresses) == sorted(row["addresses"])
    assert shadow.groups == row["groups"]
    assert shadow.enabled == row["enabled"]


def render(shadow: Shadow, groups: frozenset[str]) -> RemotePort:
    return render_port(shadow, groups, lambda group: f"pg_{group.replace('-', '_')}")


def read_row(site: LocalServer, port_id: str) -> dict[str, Any]:
    """Read what ML2/OVN wrote of a port."""
    columns = json.loads(
        site.ovn.nbctl(
            "--format=json", "--data=json", "--columns=_uuid,addresses,enabled",
            "find", "Logical_Switch_Port", f"name={port_id}",
        )
    )  # fmt: skip
    uuid_, addresses, enabled = columns["data"][0]
    members = site.ovn.nbctl(
        "--bare", "--columns=name", "find", "Port_Group", f"ports{{>=}}{uuid_[1]}"
    )
    return {
        "addresses": _values(addresses),
        "enabled": _values(enabled) != [False],
        "groups": frozenset(members.split()) - {DROP_GROUP},
    }


def _values(cell: Any) -> list[Any]:
    """Read a set in OVSDB's JSON, where one value stands by itself."""
    return list(cell[1]) if isinstance(cell, list) and cell[0] == "set" else [cell]
