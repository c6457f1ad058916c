"""A router over two sites: packets take one tunnel, and the gateway answers at home."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from tests.lab.person import Person
from tests.lab.test_two_sites import address

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

SITES = {"ra": "site1", "rb": "site2"}


@contextmanager
def dumped(netns: str) -> Iterator[Callable[[], list[str]]]:
    """Read what passes in tunnels between the sites, until enough of it has."""
    words = ("tcpdump", "-i", "any", "-nn", "-l", "-c", "40", "udp port 6081")
    process = subprocess.Popen(
        ["ip", "netns", "exec", netns, "timeout", "30", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    errors = process.stderr
    until(lambda: "listening" in errors.readline(), what="tcpdump listens")

    def stop() -> list[str]:
        process.terminate()
        return [one for one in process.communicate()[0].splitlines() if "Geneve" in one]

    yield stop


def test_servers_of_two_sites_reach_each_other_over_a_router(
    lab: OpenLab, make_network: Callable[..., str]
) -> None:
    person = Person(lab.plan)
    central = person.network("central")
    networks = {
        "ra": make_network("10.81.0.0/24", "fd00:81::/64"),
        "rb": make_network("10.82.0.0/24", "fd00:82::/64"),
    }
    router = central.create_router(name="between")
    for network_id in networks.values():
        for subnet in central.subnets(network_id=network_id):
            central.add_interface_to_router(router, subnet_id=subnet.id)
    servers = {name: person.server(name, site, networks[name]) for name, site in SITES.items()}
    for here, there in (("ra", "rb"), ("rb", "ra")):
        for version in (4, 6):
            until(
                partial(person.ping, here, address(servers[there], version)),
                what=f"{here} reaches {there} over IPv{version}",
                timeout_s=120,
            )
    with dumped(person.plan.wan_netns) as stop:
        assert person.ping("ra", address(servers["rb"], 4), count=5)
        assert person.ping("ra", "10.81.0.1")
        lines = stop()
    check_tunnels(lines, servers, keys(person, networks))
    check_holdings(person, router.id)

    ports = [port.id for port in central.ports(device_id=router.id)]
    assert len(ports) == 4
    for network_id in networks.values():
        for subnet in central.subnets(network_id=network_id):
            central.remove_interface_from_router(router, subnet_id=subnet.id)
    central.delete_router(router)
    until(lambda: not person.ping("ra", address(servers["rb"], 4), count=1), timeout_s=120)
    person.agree()
    for name in SITES:
        person.run("lab", "server", "delete", name)
    for site in ("site1", "site2"):
        assert router.id not in {one.id for one in person.network(site).routers()}
        assert list(person.network(site).ports(device_id=router.id)) == []
        left = list_rows(person, site)
        assert not [one for one in (router.id, *ports) if one in left]


def keys(person: Person, networks: dict[str, str]) -> dict[str, int]:
    rows = person.json("network", "list")
    found = {row["network_id"]: int(row["datapath_key"]) for row in rows}
    return {name: found[network_id] for name, network_id in networks.items()}


def check_tunnels(lines: list[str], servers: dict[str, Any], vni: dict[str, int]) -> None:
    """See one tunnel each way, on the destination's network, and no packet for the gateway."""
    there, back = address(servers["rb"], 4), address(servers["ra"], 4)
    outer = {}
    for source, target, key in ((back, there, vni["rb"]), (there, back, vni["ra"])):
        seen = {
            match.groups()
            for one in lines
            if (
                match := re.search(
                    rf"IP (\S+)\.\d+ > (\S+)\.6081: .* {source} > {target}: ICMP", one
                )
            )
            and f"vni 0x{key:x}" in one
        }
        assert len(seen) == 1, (source, target, lines)
        (outer[source],) = seen
    assert outer[back] == tuple(reversed(outer[there]))
    assert not [one for one in lines if "10.81.0.1 " in one or "10.81.0.1:" in one], lines


def check_holdings(person: Person, router_id: str) -> None:
    """See the same router, with the same interfaces, at both sites."""
    shown = []
    for site in ("site1", "site2"):
        ports = person.network(site).ports(device_id=router_id)
        shown.append(
            {
                (port.id, port.mac_address, one["ip_address"])
                for port in ports
                for one in port.fixed_ips
            }
        )
    assert shown[0] == shown[1]
    assert len(shown[0]) == 4


def list_rows(person: Person, site: str) -> str:
    """Dump what a site's OVN has of routers and of ports, in both databases."""
    folder = person.plan.tier_dir(person.plan.get_site(site))
    tables = {
        "nb": ("Logical_Router", "Logical_Router_Port", "Logical_Switch_Port"),
        "sb": ("Datapath_Binding", "Port_Binding"),
    }
    return "".join(
        subprocess.run(
            [f"ovn-{name}ctl", f"--db=unix:{folder}/{name}.sock", "list", table],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for name, listed in tables.items()
        for table in listed
    )
