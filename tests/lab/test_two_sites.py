"""Two real sites: packets, identity, faults, and leaving no trace."""

import contextlib
import json
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openstack.exceptions
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


@pytest.fixture(scope="module")
def person(lab: OpenLab) -> Person:
    return Person(lab.plan)


@pytest.fixture(scope="module")
def network(person: Person) -> Any:
    """A network with an IPv4 and an IPv6 subnet, made at central by its ordinary API."""
    central = person.network("central")
    made = central.create_network(name="net1")
    central.create_subnet(network_id=made.id, ip_version=4, cidr="10.10.0.0/22")
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    central.create_subnet(network_id=made.id, ip_version=6, cidr="fd00:10::/64", **modes)
    return made


SITES = ("site1", "site2")
DUMP = ("-i", "any", "-nn", "-l", "-c", "8", "udp port 6081")


@pytest.fixture(scope="module")
def pair(person: Person, network: Any) -> dict[str, dict[str, Any]]:
    """One server at each site, on one network."""
    return {
        "a": person.server("a", "site1", network.id),
        "b": person.server("b", "site2", network.id),
    }


def address(server: dict[str, Any], version: int) -> str:
    return next(str(ip) for ip in server["addresses"] if (":" in ip) == (version == 6))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("here", "there"), [("a", "b"), ("b", "a")])
def test_ping_both_ways(
    person: Person, pair: dict[str, dict[str, Any]], here: str, there: str, version: int
) -> None:
    until(lambda: person.ping(here, address(pair[there], version)), what="an answer", timeout_s=90)


@pytest.mark.parametrize("version", [4, 6])
def test_tcp(person: Person, pair: dict[str, dict[str, Any]], version: int) -> None:
    listener = subprocess.Popen(
        ["ip", "netns", "exec", pair["b"]["netns"], "iperf3", "-s", "-1", "-p", f"52{version}1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        words = ("iperf3", "-c", address(pair["b"], version), "-p", f"52{version}1", "-n", "2M")

        def moved() -> bool:
            return person.run("lab", "exec", "a", "--", *words, check=False).returncode == 0

        until(moved, what="a TCP connection", timeout_s=90)
    finally:
        listener.terminate()
        listener.wait()


def test_a_port_is_the_same_in_every_tier(person: Person, pair: dict[str, dict[str, Any]]) -> None:
    person.agree()
    for server in pair.values():
        seen = {
            cloud: person.network(cloud).get_port(server["port_id"])
            for cloud in ("central", server["site"])
        }
        facts = {
            cloud: (
                port.mac_address,
                sorted(ip["ip_address"] for ip in port.fixed_ips),
                port.status,
            )
            for cloud, port in seen.items()
        }
        assert len({json.dumps(fact) for fact in facts.values()}) == 1, facts
        assert facts["central"][2] == "ACTIVE"
        (other,) = {"site1", "site2"} - {server["site"]}
        shadow = person.network(other).get(f"/site-shadows/{server['port_id']}").json()
        mac, addresses, _ = facts["central"]
        assert shadow["site_shadow"]["mac_address"] == mac
        assert sorted(shadow["site_shadow"]["addresses"]) == addresses
        shown = {row["tier"]: row for row in person.json("port", "show", server["port_id"])}
        assert {tier: row["known_as"] for tier, row in shown.items()} == {
            "central": "port",
            server["site"]: "port",
            other: "shadow",
        }
        assert all(row["agrees"] for row in shown.values()), shown


def test_packets_go_straight_from_hypervisor_to_hypervisor(
    person: Person, pair: dict[str, dict[str, Any]]
) -> None:
    there = address(pair["b"], 4)
    until(lambda: person.ping("a", there), what="an answer", timeout_s=90)
    capture = subprocess.Popen(
        [*("ip", "netns", "exec", person.plan.wan_netns, "timeout", "20", "tcpdump"), *DUMP],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    errors = capture.stderr
    assert errors is not None
    until(lambda: "listening" in errors.readline(), what="tcpdump listens")
    person.ping("a", there, count=5)
    lines = [line for line in capture.communicate()[0].splitlines() if "Geneve" in line]
    pairs = {
        tuple(part.rsplit(".", 1)[0] for part in line.split(" IP ")[1].split(": ")[0].split(" > "))
        for line in lines
    }
    hosts = {end for both in pairs for end in both}
    assert lines
    assert len(hosts) == 2, f"more than two ends: {lines}"


def test_a_stranger_gets_404_and_nothing_comes_of_it(person: Person, network: Any) -> None:
    owner = person.network("central")
    hidden = owner.create_network(name="hidden")
    with pytest.raises(openstack.exceptions.NotFoundException):
        person.network("other-site1").get_network(hidden.id)
    presences = [row for row in person.json("network", "list") if row["network_id"] == hidden.id]
    assert presences == []
    owner.delete_network(hidden.id)


def test_remote_group_over_sites(person: Person, network: Any) -> None:
    central = person.network("central")
    friends = central.create_security_group(name="friends")
    served = central.create_security_group(name="served")
    central.create_security_group_rule(
        security_group_id=served.id,
        direction="ingress",
        ethertype="IPv4",
        protocol="icmp",
        remote_group_id=friends.id,
    )
    target = person.server("served", "site1", network.id, "--security-group", served.id)
    person.server("friend", "site2", network.id, "--security-group", friends.id)
    person.server("stranger", "site2", network.id, "--security-group", served.id)
    until(lambda: person.ping("friend", address(target, 4)), what="the friend", timeout_s=90)
    assert not person.ping("stranger", address(target, 4))
    for name in ("served", "friend", "stranger"):
        person.run("lab", "server", "delete", name)


def test_a_cut_wan_stops_nobody(
    person: Person, network: Any, pair: dict[str, dict[str, Any]]
) -> None:
    """50 ports at each site while cut; afterwards all tiers agree and no address is there twice."""
    for site in SITES:
        person.run("lab", "link", "cut", site)
    assert not person.ping("a", address(pair["b"], 4), count=1)

    def create(site: str) -> list[Any]:
        client = person.network(site)
        return [client.create_port(network_id=network.id, name=f"{site}-{n}") for n in range(50)]

    try:
        with ThreadPoolExecutor(len(SITES)) as pool:
            ports = [port for made in pool.map(create, SITES) for port in made]
    finally:
        for site in SITES:
            person.run("lab", "link", "restore", site)
    person.agree()
    everywhere = [ip["ip_address"] for port in ports for ip in port.fixed_ips]
    assert len(everywhere) == len(set(everywhere)) == 200  # IPv4 and IPv6 each
    known = {port.id for port in person.network("central").ports(network_id=network.id)}
    assert {port.id for port in ports} <= known
    until(lambda: person.ping("a", address(pair["b"], 4)), what="the servers", timeout_s=90)
    for port in ports[:10]:
        person.network("central").delete_port(port.id)
    person.agree()


@pytest.mark.parametrize(
    "process", ["central.xjob", "central.neutron", "site1.neutron", "site1.northd"]
)
def test_killed_processes_lose_nothing(person: Person, network: Any, process: str) -> None:
    site = person.network("site1")
    made = [site.create_port(network_id=network.id, name=f"before-{process}")]
    person.run("lab", "kill", process)
    try:
        if process != "site1.neutron":
            made.append(site.create_port(network_id=network.id, name=f"during-{process}"))
    finally:
        person.run("lab", "start", process)
    made.append(site.create_port(network_id=network.id, name=f"after-{process}"))
    person.agree()
    known = {port.id for port in person.network("central").ports(network_id=network.id)}
    assert {port.id for port in made} <= known


def test_a_port_in_use_keeps_its_network(person: Person, network: Any, pair: Any) -> None:
    with pytest.raises(openstack.exceptions.ConflictException):
        person.network("central").delete_network(network.id)


def test_a_deleted_network_leaves_no_row_anywhere(person: Person) -> None:
    central = person.network("central")
    doomed = central.create_network(name="doomed")
    subnet = central.create_subnet(network_id=doomed.id, ip_version=4, cidr="10.66.0.0/24")
    for number, site in enumerate(SITES):
        person.server(f"doomed{number}", site, doomed.id)
    person.agree()
    for number in range(len(SITES)):
        person.run("lab", "server", "delete", f"doomed{number}")
    central.delete_network(doomed.id)  # at once: central knows by now
    tiers = sorted((person.plan.folder / "tier").iterdir())
    assert len(tiers) == 3

    def traces() -> dict[str, list[str]]:
        return {
            tier.name: found
            for tier in tiers
            if (
                found := [
                    *rows_naming(tier / "neutron.db", doomed.id, subnet.id),
                    *ovn_rows_naming(tier, doomed.id, subnet.id),
                ]
            )
        }

    try:
        until(lambda: not traces(), what="every trace to go", timeout_s=120)
    except AssertionError as error:
        raise AssertionError(f"left: {traces()}") from error
    assert traces() == {}


def rows_naming(database: Path, *ids: str) -> list[str]:
    """Name the tables of a Neutron database in which an id still stands.

    Which batch of central's dealt with an object last a site knows for some time, and what was done
    to it stays to be listed as an event for as long as `keep_events_s` says.
    """
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        listing = "select name from sqlite_master where type = 'table'"
        return sorted(
            table
            for (table,) in connection.execute(listing).fetchall()
            if table not in ("isthmus_applied", "isthmus_events")
            if any(set(ids) & set(row) for row in connection.execute(f'select * from "{table}"'))
        )


def ovn_rows_naming(tier: Path, *ids: str) -> list[str]:
    """Name the OVN tables of a site in whose rows an id still stands."""
    found = []
    for which, schema in (("nb", "OVN_Northbound"), ("sb", "OVN_Southbound")):
        socket = tier / f"{which}.sock"
        if socket.exists():
            dump = subprocess.run(
                ["ovsdb-client", "dump", "-f", "json", f"unix:{socket}", schema],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            found += [f"{schema} holds {id_}" for id_ in ids if id_ in dump]
    return found
