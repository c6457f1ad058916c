"""The world outside a site, seen through a router of the site's own: central has no part in it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.lab.person import Person

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    # openstacksdk warns of itself, whatever one asks of it.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
SITE = "site1"
#: How long a packet may need on a busy machine, in seconds.
PACKET_S = 90


@pytest.fixture(scope="module")
def person(lab: OpenLab) -> Person:
    return Person(lab.plan)


@pytest.fixture(scope="module")
def provider(person: Person) -> dict[str, dict[str, Any]]:
    """What the lab says of the site's provider networks, by their names."""
    rows = person.json("lab", "external", "list")
    return {row["network"]: row for row in rows if row["site"] == SITE}


class Way:
    """A server of the site behind a router of the site."""

    def __init__(self, person: Person, undo: contextlib.ExitStack) -> None:
        self.person = person
        self.neutron = person.network(SITE)
        self.undo = undo
        self.network = self._made(self.neutron.create_network(name="behind"), "network")
        subnets = [self._subnet(self.network, 4, "10.61.0.0/24")]
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        subnets.append(self._subnet(self.network, 6, "fd00:61::/64", **modes))
        self.router = self._made(self.neutron.create_router(name="way-out"), "router")
        for subnet in subnets:
            self.neutron.add_interface_to_router(self.router, subnet_id=subnet.id)
            undo.callback(
                self.neutron.remove_interface_from_router, self.router, subnet_id=subnet.id
            )
        self.server = person.server("way-out", SITE, self.network.id)
        undo.callback(person.run, "lab", "server", "delete", "way-out")

    def leave_by(self, provider: dict[str, Any]) -> dict[int, str]:
        """Set the router's gateway; gives its addresses by IP version."""
        more = {"provider_segmentation_id": provider["vlan"]} if provider["vlan"] else {}
        external = self.neutron.create_network(
            name=provider["network"],
            is_router_external=True,
            provider_network_type=provider["type"],
            provider_physical_network=provider["physical_network"],
            **more,
        )
        self._made(external, "network")
        for cidr, gateway in zip(provider["subnets"], provider["gateways"], strict=True):
            version = 6 if ":" in cidr else 4
            self._subnet(external, version, cidr, gateway_ip=gateway, is_dhcp_enabled=False)
        self.neutron.update_router(self.router, external_gateway_info={"network_id": external.id})
        self.undo.callback(self.neutron.update_router, self.router, external_gateway_info=None)
        self.external = external
        info = self.neutron.get_router(self.router.id).external_gateway_info
        addresses = [one["ip_address"] for one in info["external_fixed_ips"]]
        return {6 if ":" in address else 4: address for address in addresses}

    def called_as(self, host: str) -> str:
        """Call a host outside by HTTP; gives the address that it saw, "" for no answer."""
        url = f"http://[{host}]/" if ":" in host else f"http://{host}/"
        words = ("lab", "exec", "way-out", "--", "curl", "-sS", "-g", "-m", "3", url)
        done = self.person.run(*words, check=False)
        return done.stdout.split()[2] if done.returncode == 0 else ""

    def answers_outside(self, address: str) -> bool:
        """Tell whether an address answers a host outside."""
        words = ("lab", "external", "exec", SITE, "--", "ping", "-c", "1", "-W", "2", address)
        return self.person.run(*words, check=False).returncode == 0

    def _subnet(self, network: Any, version: int, cidr: str, **more: Any) -> Any:
        return self.neutron.create_subnet(
            network_id=network.id, ip_version=version, cidr=cidr, **more
        )

    def _made(self, thing: Any, kind: str) -> Any:
        self.undo.callback(getattr(self.neutron, f"delete_{kind}"), thing.id)
        return thing


@pytest.fixture
def way(person: Person) -> Iterator[Way]:
    with contextlib.ExitStack() as undo:
        yield Way(person, undo)


def test_a_router_of_the_site_leaves_by_the_sites_own_networks(
    way: Way, provider: dict[str, dict[str, Any]]
) -> None:
    four, six = provider["flat"]["hosts"]
    gateway = way.leave_by(provider["flat"])
    until(lambda: way.called_as(four) == gateway[4], what="IPv4 by SNAT", timeout_s=PACKET_S)
    # IPv6 is not translated: the hosts outside need a route back.
    cidr = "fd00:61::/64"
    route = ("ip", "-6", "route", "replace", cidr, "via", gateway[6])
    way.person.run("lab", "external", "exec", SITE, "--", *route)
    inside = {6 if ":" in one else 4: one for one in way.server["addresses"]}
    until(lambda: way.called_as(six) == inside[6], what="IPv6 as it is", timeout_s=PACKET_S)

    floating = way.neutron.create_ip(
        floating_network_id=way.external.id,
        port_id=way.server["port_id"],
        fixed_ip_address=inside[4],
    )
    with contextlib.ExitStack() as undo:
        undo.callback(way.neutron.delete_ip, floating.id)
        public = floating.floating_ip_address
        until(lambda: way.called_as(four) == public, what="the floating IP", timeout_s=PACKET_S)
        # A group of the site's own: the project's default group may be central's by now.
        group = way.neutron.create_security_group(name="answers")
        undo.callback(way.neutron.delete_security_group, group.id)
        way.neutron.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ethertype="IPv4", protocol="icmp"
        )
        port = way.neutron.get_port(way.server["port_id"])
        groups = list(port.security_group_ids)
        way.neutron.update_port(port.id, security_group_ids=[*groups, group.id])
        undo.callback(way.neutron.update_port, port.id, security_group_ids=groups)
        until(lambda: way.answers_outside(public), what="an answer inside", timeout_s=PACKET_S)

    tagged = way.leave_by(provider["vlan"])
    assert tagged[4] != gateway[4]
    until(lambda: way.called_as(four) == tagged[4], what="the VLAN", timeout_s=PACKET_S)
