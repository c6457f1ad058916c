"""A router of central's leaves by the exits of its sites, and floating IPs come in by them."""

import contextlib
import logging
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import openstack
import pytest
from tests.lab.person import Person
from tests.lab.test_router import dumped
from tests.lab.test_two_sites import address

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
LOG = logging.getLogger(__name__)
SERVERS = {"exit-1": "site1", "exit-2": "site2"}
CIDRS = ("10.91.0.0/24", "fd00:91::/64")
#: How long packets may need to find a new way on a busy machine, in seconds.
PACKET_S = 120


class Cloud:
    """One network at two sites, a server in each, and a router that joins it."""

    def __init__(
        self,
        person: Person,
        network: str,
        undo: contextlib.ExitStack,
        servers: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Make it; `servers` has the site of each server, and more words of its creation."""
        self.person, self.undo = person, undo
        self.central = person.network("central")
        rows = person.json("lab", "external", "list")
        self.outside = {row["site"]: row for row in rows if row["network"] == "flat"}
        self.router = self.made(self.central.create_router(name="exits"), "router")
        for subnet in self.central.subnets(network_id=network):
            self.central.add_interface_to_router(self.router, subnet_id=subnet.id)
            undo.callback(
                self.central.remove_interface_from_router, self.router, subnet_id=subnet.id
            )
        self.servers = {}
        for name, (site, *more) in (servers or {n: (at,) for n, at in SERVERS.items()}).items():
            self.servers[name] = person.server(name, site, network, *more)
            undo.callback(person.run, "lab", "server", "delete", name)

    def made(self, thing: Any, kind: str) -> Any:
        self.undo.callback(getattr(self.central, f"delete_{kind}"), thing.id)
        return thing

    def external(self, site: str) -> Any:
        """Make the external network of a site, as the lab says that it is."""
        row = self.outside[site]
        zone = self.person.json("site", "show", site)["availability_zones"][0]
        network = self.made(
            self.central.create_network(
                name=f"out-{site}",
                is_router_external=True,
                provider_network_type="flat",
                provider_physical_network=row["physical_network"],
                availability_zone_hints=[zone],
            ),
            "network",
        )
        for cidr, gateway in zip(row["subnets"], row["gateways"], strict=True):
            self.central.create_subnet(
                network_id=network.id,
                ip_version=6 if ":" in cidr else 4,
                cidr=cidr,
                gateway_ip=gateway,
                is_dhcp_enabled=False,
            )
        return network

    def gateways(self, *networks: Any) -> dict[str, dict[int, str]]:
        """Set the router's gateways; gives their addresses by network and IP version."""
        asked = [{"network_id": one.id} for one in networks]
        body = {"router": {"external_gateways": asked}}
        answer = self.central.put(f"/routers/{self.router.id}/update_external_gateways", json=body)
        assert answer.status_code == 200, answer.text
        found = {}
        for one in answer.json()["router"]["external_gateways"]:
            addresses = [fixed["ip_address"] for fixed in one["external_fixed_ips"]]
            found[one["network_id"]] = {6 if ":" in text else 4: text for text in addresses}
        return found

    def floating(self, network: Any, server: str) -> str:
        floating = self.central.create_ip(
            floating_network_id=network.id, port_id=self.servers[server]["port_id"]
        )
        self.undo.callback(self.central.delete_ip, floating.id)
        return str(floating.floating_ip_address)

    def called_as(self, server: str, site: str, version: int = 4) -> str:
        """Call a host outside a site by HTTP; gives the address that it saw, "" for none."""
        host = self.outside[site]["hosts"][0 if version == 4 else 1]
        url = f"http://[{host}]/" if version == 6 else f"http://{host}/"
        words = ("lab", "exec", server, "--", "curl", "-sS", "-g", "-m", "3", url)
        done = self.person.run(*words, check=False)
        return done.stdout.split()[2] if done.returncode == 0 else ""

    def answers(self, site: str, public: str) -> bool:
        """Tell whether an address answers a host outside a site."""
        words = ("lab", "external", "exec", site, "--", "ping", "-c", "1", "-W", "2", public)
        return self.person.run(*words, check=False).returncode == 0


@pytest.fixture
def cloud(lab: OpenLab, make_network: Callable[..., str]) -> Iterator[Cloud]:
    with contextlib.ExitStack() as undo:
        yield Cloud(Person(lab.plan), make_network(*CIDRS), undo)


def test_both_sites_leave_by_one_exit_and_floating_ips_come_in_by_it(cloud: Cloud) -> None:
    out = cloud.external("site1")
    gateway = cloud.gateways(out)[out.id]
    cloud.undo.callback(cloud.gateways)
    for server in SERVERS:  # the one at site2 over the transit network
        until(
            lambda server=server: cloud.called_as(server, "site1") == gateway[4],  # type: ignore[misc]
            what=f"{server} is translated to {gateway[4]}",
            timeout_s=PACKET_S,
        )
    # IPv6 is not translated: the hosts outside need a route back.
    route = ("ip", "-6", "route", "replace", CIDRS[1], "via", gateway[6])
    cloud.person.run("lab", "external", "exec", "site1", "--", *route)
    for server, row in cloud.servers.items():
        until(
            lambda server=server, row=row: (  # type: ignore[misc]
                cloud.called_as(server, "site1", 6) == address(row, 6)
            ),
            what=f"{server} over IPv6",
            timeout_s=PACKET_S,
        )
    port = cloud.central.get_port(cloud.servers["exit-1"]["port_id"])
    with contextlib.suppress(openstack.exceptions.ConflictException):  # another test's
        cloud.central.create_security_group_rule(
            security_group_id=port.security_group_ids[0],
            direction="ingress",
            ethertype="IPv4",
            protocol="icmp",
        )
    for server in SERVERS:
        public = cloud.floating(out, server)
        until(
            lambda public=public: cloud.answers("site1", public),  # type: ignore[misc]
            what=f"{public} of {server} answers",
            timeout_s=PACKET_S,
        )
        assert cloud.called_as(server, "site1") == public
    check_way(cloud, public)
    # A server has one floating IP for each external network: that of exit-1 makes room.
    (first,) = cloud.central.ips(port_id=cloud.servers["exit-1"]["port_id"])
    cloud.central.update_ip(first, port_id=None)
    for server in ("exit-1", "exit-2"):
        LOG.info("%s is answered by %s after %.1f s", public, server, move(cloud, public, server))

    # With an exit of its own site2 leaves by that, but for the floating IP of site1.
    other = cloud.external("site2")
    cloud.undo.callback(cloud.gateways)
    own = cloud.gateways(out, other)[other.id]
    route = ("ip", "-6", "route", "replace", CIDRS[1], "via", own[6])
    cloud.person.run("lab", "external", "exec", "site2", "--", *route)
    inside = address(cloud.servers["exit-2"], 6)
    until(
        lambda: cloud.called_as("exit-2", "site2", 6) == inside,
        what="exit-2 leaves by its own site over IPv6",
        timeout_s=PACKET_S,
    )
    until(
        lambda: cloud.answers("site1", public) and cloud.called_as("exit-2", "site1") == public,
        what=f"{public} is that of exit-2 at site1",
        timeout_s=PACKET_S,
    )
    check_rows(cloud, 2)
    (floating,) = cloud.central.ips(floating_ip_address=public)
    cloud.central.update_ip(floating, port_id=None)
    until(
        lambda: cloud.called_as("exit-2", "site2") == own[4],
        what=f"exit-2 is translated to {own[4]} by its own site",
        timeout_s=PACKET_S,
    )
    cloud.gateways()
    cloud.person.agree()
    check_rows(cloud, 0)


def move(cloud: Cloud, public: str, server: str) -> float:
    """Move a floating IP; gives the seconds until a ping to it arrives at its new server."""
    row, (floating,) = cloud.servers[server], cloud.central.ips(floating_ip_address=public)
    # One ping after another: what a flow was translated to, connection tracking keeps to its end.
    pings = f"while :; do ping -n -c 1 -W 1 {public}; done"
    with cloud.person.started("lab", "external", "exec", "site1", "--", "sh", "-c", pings):
        before = count_pings(row["netns"])
        began = time.monotonic()
        cloud.central.update_ip(floating, port_id=row["port_id"])
        until(
            lambda: count_pings(row["netns"]) > before,
            what=f"{public} is answered by {server}",
            timeout_s=PACKET_S,
        )
        return time.monotonic() - began


def count_pings(netns: str) -> int:
    """Return how many ICMP echo requests have reached a server."""
    words = ["ip", "netns", "exec", netns, "cat", "/proc/net/snmp"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    names, values = (line.split() for line in done.stdout.splitlines() if line[:5] == "Icmp:")
    return int(values[names.index("InEchos")])


def check_way(cloud: Cloud, public: str) -> None:
    """See that a request goes straight to the port, and its reply by the transit network."""
    inside = address(cloud.servers["exit-2"], 4)
    host = cloud.outside["site1"]["hosts"][0]
    with dumped(cloud.person.plan.wan_netns) as stop:
        assert cloud.answers("site1", public)
        lines = stop()
    there = {vni(one) for one in lines if f"> {inside}: ICMP echo request" in one}
    back = {vni(one) for one in lines if f" {inside} > " in one and "ICMP echo reply" in one}
    assert len(there) == len(back) == 1, (host, lines)
    assert there != back


def vni(line: str) -> str:
    found = re.search(r"vni (0x[0-9a-f]+)", line)
    assert found, line
    return found.group(1)


def check_rows(cloud: Cloud, sites: int) -> None:
    """See at how many sites OVN has rows for the router's exits; with none, nothing is left."""
    found = 0
    for site in ("site1", "site2"):
        folder = cloud.person.plan.tier_dir(cloud.person.plan.get_site(site))
        words = ["ovsdb-client", "dump", f"unix:{folder}/nb.sock", "OVN_Northbound"]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        found += f"isthmus-transit-{cloud.router.id}" in done.stdout
        assert sites or "isthmus:router" not in done.stdout
    assert found == sites
