"""Trunks, made at a site and at central: what is behind a VLAN is reached from the other site."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.lab import tagged
from tests.lab.person import Person
from tests.lab.test_two_sites import ovn_rows_naming, rows_naming

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

TAG = 100


@contextlib.contextmanager
def behind(server: dict[str, Any], tag: int, mac: str, address: str) -> Iterator[None]:
    """Let a guest answer behind a VLAN of a server's port."""
    words = [sys.executable, str(Path(tagged.__file__)), "eth0", str(tag), mac, address]
    process = subprocess.Popen(
        ["ip", "netns", "exec", server["netns"], *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def test_a_subport_is_reached_from_both_sites(
    lab: OpenLab, make_network: Callable[..., str]
) -> None:
    person = Person(lab.plan)
    outer = make_network()
    inner = make_network("10.78.0.0/24", "fd00:78::/64")
    parent = person.server("parent", "site1", outer)
    names = {"near": "site1", "far": "site2"}
    clients = {name: person.server(name, site, inner) for name, site in names.items()}
    site = person.network("site1")
    child = site.create_port(network_id=inner, name="child")
    sub_port = {"port_id": child.id, "segmentation_type": "vlan", "segmentation_id": TAG}
    trunk = site.create_trunk(port_id=parent["port_id"], sub_ports=[sub_port])
    child = site.get_port(child.id)
    address = next(one["ip_address"] for one in child.fixed_ips if "." in one["ip_address"])
    with behind(parent, TAG, child.mac_address, address):
        for name in clients:
            until(
                lambda name=name: person.ping(name, address),  # type: ignore[misc]
                what=f"the subport answers {name}",
                timeout_s=300,
            )
    with behind(parent, TAG + 1, child.mac_address, address):
        assert not person.ping("near", address), "frames of the trunk have its tag"
    person.agree()
    site.delete_trunk_subports(trunk, [sub_port])
    site.delete_port(child.id)
    site.delete_trunk(trunk.id)
    for name in ("parent", *clients):
        person.run("lab", "server", "delete", name)
    person.agree()


def test_a_trunk_of_centrals_moves_with_its_server(
    lab: OpenLab, make_network: Callable[..., str]
) -> None:
    person = Person(lab.plan)
    outer = make_network()
    inner = make_network("10.79.0.0/24", "fd00:79::/64")
    near, far = (person.server(f"at-{site}", site, inner) for site in ("site1", "site2"))
    names = [one["name"] for one in (near, far)]
    central = person.network("central")
    parent = central.create_port(network_id=outer, name="moving")
    child, late = (central.create_port(network_id=inner, name=name) for name in ("one", "two"))
    sub_port = {"port_id": child.id, "segmentation_type": "vlan", "segmentation_id": TAG}
    trunk = central.create_trunk(port_id=parent.id, sub_ports=[sub_port])
    more = {"port_id": late.id, "segmentation_type": "vlan", "segmentation_id": TAG + 1}
    for site, gone in (("site1", "site2"), ("site2", "site1")):
        row = boot(person, site, parent.id)
        assert person.network(site).get_trunk(trunk.id).port_id == parent.id
        reached(person, row, TAG, central.get_port(child.id), names)
        # A subport comes and goes while the server runs; at site2 it comes from site1 by itself.
        central.add_trunk_subports(trunk, [more])
        reached(person, row, TAG + 1, central.get_port(late.id), names)
        central.delete_trunk_subports(trunk, [more])
        with behind(row, TAG + 1, late.mac_address, address_of(late)):
            until(
                lambda: not person.ping(names[0], address_of(late), count=1),
                what="what is no subport any more does not answer",
                timeout_s=120,
            )
        person.agree()
        person.run("lab", "server", "delete", "moving")
        assert person.network(gone).find_trunk(trunk.id) is None
    central.delete_trunk(trunk.id)
    for port in (child.id, late.id, parent.id):
        central.delete_port(port)
    for name in names:
        person.run("lab", "server", "delete", name)
    person.agree()


def boot(person: Person, site: str, port_id: str) -> dict[str, Any]:
    """Make a server of a port, again until the site where the port was has let go of it."""
    words = ("lab", "server", "create", "moving", "--site", site, "--port", port_id)

    def made() -> bool:
        done = person.run(*words, check=False)
        assert done.returncode == 0 or "answered 503" in done.stderr, done.stderr
        return done.returncode == 0

    until(made, what=f"the port is at {site}", timeout_s=120)
    return {"netns": person.plan.server_netns("moving")}


def address_of(port: Any) -> str:
    """Give the IPv4 address of a port."""
    return str(next(one["ip_address"] for one in port.fixed_ips if "." in one["ip_address"]))


def reached(
    person: Person, server: dict[str, Any], tag: int, port: Any, names: Sequence[str]
) -> None:
    """See that what is behind a VLAN of a server is reached from both sites."""
    with behind(server, tag, port.mac_address, address_of(port)):
        for name in names:
            until(
                lambda name=name: person.ping(name, address_of(port)),  # type: ignore[misc]
                what=f"port {port.name} answers {name}",
                timeout_s=300,
            )


def test_a_trunk_is_changed_on_both_sides_while_its_site_is_cut_off(
    lab: OpenLab, make_network: Callable[..., str]
) -> None:
    person = Person(lab.plan)
    outer = make_network()
    inner = make_network("10.80.0.0/24", "fd00:80::/64")
    near, far = (person.server(f"cut-{site}", site, inner) for site in ("site1", "site2"))
    names = [one["name"] for one in (near, far)]
    central = person.network("central")
    parent = central.create_port(network_id=outer, name="moving")
    child, late = (central.create_port(network_id=inner, name=name) for name in ("one", "two"))
    sub_port = {"port_id": child.id, "segmentation_type": "vlan", "segmentation_id": TAG}
    trunk = central.create_trunk(port_id=parent.id, sub_ports=[sub_port])
    row = boot(person, "site1", parent.id)
    reached(person, row, TAG, child, names)
    person.run("lab", "link", "cut", "site1")
    try:
        central.delete_trunk_subports(trunk, [sub_port])
        central.add_trunk_subports(trunk, [{**sub_port, "port_id": late.id}])
        # The site goes on with what it has, and its server stops and starts.
        reached(person, row, TAG, child, names[:1])
        person.run("lab", "server", "delete", "moving")
        words = ("create", "moving", "--site", "site2", "--port", parent.id)
        done = person.run("lab", "server", *words, check=False)
        assert done.returncode != 0, "a site that is cut off may use its port"
        assert "site site1" in done.stderr, done.stderr
        row = boot(person, "site1", parent.id)
        reached(person, row, TAG, child, names[:1])
    finally:
        person.run("lab", "link", "restore", "site1")
    reached(person, row, TAG, late, names)
    with behind(row, TAG, child.mac_address, address_of(child)):
        assert not person.ping(names[0], address_of(child), count=1)
    person.agree()
    person.run("lab", "server", "delete", "moving")
    central.delete_trunk(trunk.id)
    for port in (child.id, late.id, parent.id):
        central.delete_port(port)
    for name in names:
        person.run("lab", "server", "delete", name)
    person.agree()
    for network in (outer, inner):
        central.delete_network(network)
    leaves_no_trace(lab, trunk.id, child.id, late.id, parent.id, outer, inner)


def leaves_no_trace(lab: OpenLab, *ids: str) -> None:
    """See that what was deleted goes out of every Neutron and OVN database."""
    tiers = sorted((lab.plan.folder / "tier").iterdir())

    def traces() -> list[str]:
        return [
            f"{tier.name}: {one}"
            for tier in tiers
            for one in (*rows_naming(tier / "neutron.db", *ids), *ovn_rows_naming(tier, *ids))
        ]

    try:
        until(lambda: not traces(), what="nothing of it is left in any tier", timeout_s=120)
    except AssertionError as error:
        raise AssertionError(f"left: {traces()}") from error
