"""A trunk at one site: what is behind a VLAN of a server's port is reached from the other site."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab import tagged
from tests.lab.person import Person

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
