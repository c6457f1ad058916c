"""For which IP versions OVN is to answer a port: as `neutron.common.ovn.utils` decides."""

from typing import Any

import pytest

from isthmus.federation.dhcp import is_served, list_unanswered

SUBNETS: dict[str, dict[str, Any]] = {
    "v4": {"ip_version": 4, "enable_dhcp": True},
    "off": {"ip_version": 4, "enable_dhcp": False},
    "slaac": {"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": "slaac"},
    "stateful": {"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": "dhcpv6-stateful"},
    "stateless": {"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": "dhcpv6-stateless"},
}


def unanswered(*subnets: str, there: tuple[int, ...] = (), **port: Any) -> list[int]:
    fixed = [{"subnet_id": one, "ip_address": "x"} for one in subnets]
    body = {"device_owner": "compute:nova", "fixed_ips": fixed, **port}
    return list_unanswered(body, SUBNETS, there)


@pytest.mark.parametrize(
    ("subnets", "there", "left"),
    [
        (("v4",), (), [4]),
        (("v4",), (4,), []),
        (("off",), (), []),
        (("off", "v4"), (), [4]),
        (("slaac",), (), []),
        (("stateful",), (), [6]),
        (("stateless",), (), [6]),
        (("v4", "stateful"), (4,), [6]),
        (("unknown",), (), []),
        ((), (), []),
    ],
)
def test_what_is_missed(subnets: tuple[str, ...], there: tuple[int, ...], left: list[int]) -> None:
    assert unanswered(*subnets, there=there) == left


@pytest.mark.parametrize("owner", ["network:dhcp", "network:router_interface", "neutron:x"])
def test_ports_of_the_network_ask_nobody(owner: str) -> None:
    assert unanswered("v4", device_owner=owner) == []


def test_a_bare_machine_is_a_matter_of_configuration() -> None:
    for kind, left in (("baremetal", []), ("direct", [4])):
        port: dict[str, Any] = {"binding:vnic_type": kind}
        assert unanswered("v4", **port) == left


@pytest.mark.parametrize(
    ("value", "version", "left"), [("True", 4, [6]), ("true", 6, [4]), ("false", 4, [4, 6])]
)
def test_a_port_may_turn_it_off(value: str, version: int, left: list[int]) -> None:
    option = {"opt_name": "dhcp_disabled", "opt_value": value, "ip_version": version}
    other = {"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}
    assert unanswered("v4", "stateful", extra_dhcp_opts=[other, option]) == left


def test_a_subnet_without_an_address_mode_is_served() -> None:
    assert is_served({"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": None})
