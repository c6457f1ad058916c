"""Exits go on with what they have while a site is cut off, and move to whoever is left."""

import contextlib
import logging
import subprocess
import time
from collections.abc import Iterator

import openstack
import pytest
from tests.lab.conftest import Silent, need_lab, new_name
from tests.lab.person import Person
from tests.lab.test_exits import CIDRS, PACKET_S, Cloud, check_rows
from tests.lab.test_two_sites import address

from isthmus import errors
from isthmus.lab.opened import OpenLab
from isthmus.lab.topology import parse_topology
from isthmus.testing.until import until
from isthmus.wiring.lab import open_labs

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
LOG = logging.getLogger(__name__)
#: The third hypervisor of site1 has the server: the other two are gateways, and die. site3 has no
#: way out of its own.
TOPOLOGY = """
sites:
- {name: site1, hosts: 3, gateways: 2}
- {name: site2, hosts: 1, gateways: 1}
- {name: site3, hosts: 1, gateways: 0}
"""
PLACES = {"exit-1": ("site1", "--host", "h3"), "exit-2": ("site2",), "exit-3": ("site3",)}
#: How long a site may need to be known to be silent, and its exits to be another's, in seconds.
SILENT_S = 300


@pytest.fixture(scope="module")
def faulty() -> Iterator[OpenLab]:
    need_lab()
    labs, name = open_labs(), new_name()
    try:
        yield labs.up(name, parse_topology(TOPOLOGY), reporter=Silent())
    finally:
        with contextlib.suppress(errors.NotFound):
            labs.down(name)


@pytest.fixture
def cloud(faulty: OpenLab) -> Iterator[Cloud]:
    person = Person(faulty.plan)
    central = person.network("central")
    with contextlib.ExitStack() as undo:
        network = central.create_network(name="faulty")
        undo.callback(central.delete_network, network.id)
        central.create_subnet(network_id=network.id, ip_version=4, cidr=CIDRS[0])
        made = Cloud(person, network.id, undo, PLACES)
        group = central.get_port(made.servers["exit-1"]["port_id"]).security_group_ids[0]
        with contextlib.suppress(openstack.exceptions.ConflictException):  # another test's
            central.create_security_group_rule(
                security_group_id=group, direction="ingress", ethertype="IPv4", protocol="icmp"
            )
        yield made


@contextlib.contextmanager
def cut(person: Person, *sites: str) -> Iterator[None]:
    """Cut sites off, control and data."""
    for site in sites:
        person.run("lab", "link", "cut", site)
    try:
        yield
    finally:
        for site in sites:
            person.run("lab", "link", "restore", site)


def leaves(cloud: Cloud, server: str, site: str, address_there: str) -> None:
    """Wait until a server calls a host outside a site as an address; tells how long that took."""
    began = time.monotonic()
    until(
        lambda: cloud.called_as(server, site) == address_there,
        what=f"{server} is {address_there} outside {site}",
        timeout_s=SILENT_S,
    )
    LOG.info("%s is %s outside %s: %.1f s", server, address_there, site, time.monotonic() - began)


def answers(cloud: Cloud, site: str, public: str) -> None:
    """Wait until an address answers outside a site."""
    until(lambda: cloud.answers(site, public), what=f"{public} answers", timeout_s=PACKET_S)


def close(cloud: Cloud) -> None:
    """Take the floating IPs and the gateways away, and see that nothing of them is left."""
    for one in cloud.central.ips(router_id=cloud.router.id):
        cloud.central.update_ip(one, port_id=None)
    cloud.gateways()
    cloud.person.agree()
    check_rows(cloud, 0)


def test_a_cut_site_goes_on_and_what_changed_meanwhile_is_there_afterwards(cloud: Cloud) -> None:
    central, person = cloud.central, cloud.person
    out = {site: cloud.external(site) for site in ("site1", "site2")}
    own = cloud.gateways(*out.values())
    cloud.undo.callback(cloud.gateways)
    public = {"exit-1": cloud.floating(out["site1"], "exit-1")}
    public["exit-2"] = cloud.floating(out["site2"], "exit-2")
    for server, site in (("exit-1", "site1"), ("exit-2", "site2")):
        answers(cloud, site, public[server])
        leaves(cloud, server, site, public[server])
    ids = {one.floating_ip_address: one for one in central.ips(router_id=cloud.router.id)}
    network = central.get_port(cloud.servers["exit-1"]["port_id"]).network_id
    with cut(person, "site1"):
        # What is established goes on, though central says otherwise meanwhile.
        central.update_ip(ids[public["exit-1"]], port_id=None)
        central.update_ip(ids[public["exit-1"]], port_id=cloud.servers["exit-3"]["port_id"])
        central.update_ip(ids[public["exit-2"]], port_id=None)
        assert cloud.answers("site1", public["exit-1"])
        assert cloud.called_as("exit-1", "site1") == public["exit-1"]
        until(
            lambda: not cloud.answers("site2", public["exit-2"]),
            what="site2, which is there, has heard of its own",
            timeout_s=PACKET_S,
        )
        leaves(cloud, "exit-2", "site2", own[out["site2"].id][4])
        # A server that is made while its site is cut leaves by its own exit.
        cloud.servers["late"] = person.server("late", "site1", network, "--host", "h3")
        cloud.undo.callback(person.run, "lab", "server", "delete", "late")
        leaves(cloud, "late", "site1", own[out["site1"].id][4])
        assert cloud.answers("site1", public["exit-1"])
    leaves(cloud, "exit-3", "site1", public["exit-1"])
    leaves(cloud, "exit-1", "site1", own[out["site1"].id][4])
    until(
        lambda: person.ping("exit-3", address(cloud.servers["late"], 4)),
        what="the server of the cut site is known to the others",
        timeout_s=PACKET_S,
    )
    assert not cloud.answers("site2", public["exit-2"])
    person.agree()
    close(cloud)


def test_a_router_leaves_by_the_other_site_when_one_is_cut(cloud: Cloud) -> None:
    out = {site: cloud.external(site) for site in ("site1", "site2")}
    own = cloud.gateways(*out.values())
    cloud.undo.callback(cloud.gateways)
    there = {site: own[network.id][4] for site, network in out.items()}
    leaves(cloud, "exit-3", "site1", there["site1"])
    with cut(cloud.person, "site1"):
        leaves(cloud, "exit-3", "site2", there["site2"])
        leaves(cloud, "exit-2", "site2", there["site2"])
        leaves(cloud, "exit-1", "site1", there["site1"])
    leaves(cloud, "exit-3", "site1", there["site1"])
    leaves(cloud, "exit-1", "site1", there["site1"])
    close(cloud)


def find_gateway_host(cloud: Cloud) -> str:
    """Return the hypervisor of site1 that has the router's gateway, by OVN's word."""
    plan = cloud.person.plan
    folder = plan.tier_dir(plan.get_site("site1"))
    found = {}
    for words in (
        ("--columns=_uuid,hostname", "list", "Chassis"),
        ("--columns=logical_port,chassis", "find", "Port_Binding", "type=chassisredirect"),
    ):
        command = ["ovn-sbctl", f"--db=unix:{folder}/sb.sock", "--data=bare", "--no-headings"]
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=True)
        blocks = [block.splitlines() for block in done.stdout.strip().split("\n\n")]
        found.update({one[0]: one[1] for one in blocks if len(one) == 2})
    (chassis,) = (to for port, to in found.items() if port.startswith("cr-lrp-"))
    return found[chassis]


def test_another_hypervisor_takes_the_gateway_over(cloud: Cloud) -> None:
    out = cloud.external("site1")
    gateway = cloud.gateways(out)[out.id][4]
    cloud.undo.callback(cloud.gateways)
    public = cloud.floating(out, "exit-2")
    for server in ("exit-1", "exit-3"):
        leaves(cloud, server, "site1", gateway)
    leaves(cloud, "exit-2", "site1", public)
    host = find_gateway_host(cloud)
    assert host in ("site1-h1", "site1-h2")
    dead = [f"{host}.{process}" for process in ("controller", "vswitchd")]
    for process in dead:
        cloud.person.run("lab", "kill", process)
    try:
        # From its own site, over the transit network, and from outside to another site.
        for server in ("exit-1", "exit-3"):
            leaves(cloud, server, "site1", gateway)
        leaves(cloud, "exit-2", "site1", public)
        answers(cloud, "site1", public)
        assert find_gateway_host(cloud) not in ("", host)
    finally:
        for process in reversed(dead):
            cloud.person.run("lab", "start", process)
    for server in ("exit-1", "exit-3"):
        leaves(cloud, server, "site1", gateway)
    answers(cloud, "site1", public)
    close(cloud)
