"""Packets between servers of two sites over a fabric that the sites share."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.lab.person import Person

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.timeout(900),
    # openstacksdk warns of itself, whatever one asks of it.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
#: How long a packet may need on a busy machine, in seconds.
PACKET_S = 90
LISTEN = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("", 4000))
print("up", flush=True)
count = 0
while (word := one.recv(100)) != b"end":
    count += word == b"all"
print(count, flush=True)
"""
SAY = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
one.sendto(sys.argv[2].encode(), (sys.argv[1], 4000))
"""


@pytest.fixture(scope="module")
def person(lab: OpenLab) -> Person:
    return Person(lab.plan)


class Metro:
    """A VLAN that both sites have, with two servers at each, one of them in no common group."""

    def __init__(self, person: Person, undo: contextlib.ExitStack) -> None:
        self.person = person
        neutron = person.network("central")
        self.network = neutron.create_network(
            name="metro",
            provider_network_type="vlan",
            provider_physical_network="fabric",
            provider_segmentation_id=310,
        )
        undo.callback(self._delete_network, neutron)
        neutron.create_subnet(network_id=self.network.id, ip_version=4, cidr="10.91.0.0/24")
        neutron.create_subnet(
            network_id=self.network.id, ip_version=6, cidr="fd00:91::/64", is_dhcp_enabled=False
        )
        self.group = neutron.create_security_group(name="metro")
        undo.callback(neutron.delete_security_group, self.group.id)
        for ethertype in ("IPv4", "IPv6"):
            neutron.create_security_group_rule(
                security_group_id=self.group.id,
                direction="ingress",
                ethertype=ethertype,
                remote_group_id=self.group.id,
            )
        self.stranger = neutron.create_security_group(name="stranger")
        undo.callback(neutron.delete_security_group, self.stranger.id)
        self.rows: dict[str, dict[str, Any]] = {}
        for number, (name, site, group) in enumerate(
            (
                ("metro-a", "site1", self.group),
                ("metro-b", "site2", self.group),
                ("metro-c", "site2", self.group),
                ("metro-d", "site2", self.stranger),
            ),
            start=201,
        ):
            words = ("--fixed-ip", f"10.91.0.{number}", "--fixed-ip", f"fd00:91::{number}")
            row = person.server(name, site, self.network.id, *words, "--security-group", group.id)
            undo.callback(person.run, "lab", "server", "delete", name)
            self.rows[name] = row

    def _delete_network(self, neutron: Any) -> None:
        until(
            lambda: not list(neutron.ports(network_id=self.network.id)),
            what="no port is left",
            timeout_s=PACKET_S,
        )
        neutron.delete_network(self.network.id)

    def inside(self, name: str, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.rows[name]["netns"], *command]

    def reaches(self, name: str, *more: str) -> bool:
        words = ("ping", "-c", "2", "-i", "0.2", "-W", "2", *more)
        done = subprocess.run(self.inside(name, *words), capture_output=True, check=False)
        return done.returncode == 0


@pytest.fixture(scope="module")
def metro(person: Person) -> Iterator[Metro]:
    with contextlib.ExitStack() as undo:
        yield Metro(person, undo)


def test_servers_of_two_sites_reach_each_other_over_the_fabric(metro: Metro) -> None:
    for one, address in (
        ("metro-a", "10.91.0.202"),
        ("metro-b", "10.91.0.201"),
        ("metro-a", "fd00:91::202"),
        ("metro-c", "fd00:91::201"),
    ):
        until(
            partial(metro.reaches, one, address),
            what=f"{one} reaches {address}",
            timeout_s=PACKET_S,
        )
    # 1500 bytes: no tunnel takes any of them.
    assert metro.reaches("metro-a", "-s", "1472", "-M", "do", "10.91.0.203")


def test_rules_know_the_addresses_of_the_other_site(metro: Metro) -> None:
    assert metro.reaches("metro-b", "10.91.0.201")
    assert not metro.reaches("metro-d", "10.91.0.201"), "it is in no group that may"
    assert not metro.reaches("metro-a", "10.91.0.204")


def test_what_is_for_all_comes_once(metro: Metro) -> None:
    """Each port of the other site would get a copy for all if OVN made one for each shadow."""
    until(lambda: metro.reaches("metro-a", "10.91.0.202"), what="they know each other")
    with subprocess.Popen(
        metro.inside("metro-b", sys.executable, "-c", LISTEN), stdout=subprocess.PIPE, text=True
    ) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "up\n"
            for address, word in (("10.91.0.255", "all"), ("10.91.0.202", "end")):
                say = metro.inside("metro-a", sys.executable, "-c", SAY, address, word)
                subprocess.run(say, check=True)
            assert listener.stdout.readline() == "1\n"
        finally:
            listener.kill()


def test_packets_pass_while_the_wan_is_cut(metro: Metro) -> None:
    person = metro.person
    person.run("lab", "link", "cut", "site1")
    try:
        assert metro.reaches("metro-a", "10.91.0.202")
        assert metro.reaches("metro-c", "fd00:91::201")
    finally:
        person.run("lab", "link", "restore", "site1")


def test_why_sees_no_fault(metro: Metro) -> None:
    done = metro.person.run("why", "metro-a", "metro-b", "icmp", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    metro.person.agree()
