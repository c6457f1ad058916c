"""A virtual address that moves between servers of two sites: VRRP as keepalived speaks it."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.person import Person
from tests.lab.test_two_sites import address

from isthmus.lab.opened import OpenLab
from isthmus.testing.needed import lack
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

VIRTUAL = ("10.77.0.250", "fd00:77::250")
CONFIGURATION = """
global_defs {{
    router_id {name}
}}
vrrp_instance one {{
    state BACKUP
    interface eth0
    virtual_router_id 77
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        {four}/24
    }}
    virtual_ipaddress_excluded {{
        {six}/64
    }}
}}
"""


@contextlib.contextmanager
def speaking(server: dict[str, Any], priority: int, folder: Path) -> Iterator[None]:
    """Run keepalived in a server."""
    name = server["name"]
    file = folder / f"{name}.conf"
    four, six = VIRTUAL
    file.write_text(CONFIGURATION.format(name=name, priority=priority, four=four, six=six))
    words = ["keepalived", "--dont-fork", "--log-console", "--vrrp", f"--use-file={file}"]
    words += [f"--pid={folder / name}.pid", f"--vrrp_pid={folder / name}.vrrp"]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", server["netns"], *words], stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def neighbour(client: dict[str, Any], wanted: str) -> str:
    """Read the MAC that a client has learnt for an address."""
    done = subprocess.run(
        ["ip", "-n", client["netns"], "neighbour", "show", wanted],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"lladdr (\S+)", done.stdout)
    return found[1] if found else ""


@pytest.fixture
def keepalived() -> None:
    if shutil.which("keepalived", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        lack("keepalived")


def test_a_virtual_address_fails_over_between_sites(
    lab: OpenLab, make_network: Callable[..., str], keepalived: None, tmp_path: Path
) -> None:
    person = Person(lab.plan)
    network_id = make_network()
    central = person.network("central")
    # As its users do it: a port that nobody binds keeps the address from others.
    central.create_port(network_id=network_id, name="vip", fixed_ips=[{"ip_address": VIRTUAL[0]}])
    names = {"va": "site1", "vb": "site2", "ca": "site1", "cb": "site2"}
    servers = {name: person.server(name, site, network_id) for name, site in names.items()}
    pairs = [{"ip_address": one} for one in VIRTUAL]
    for name in ("va", "vb"):
        central.update_port(servers[name]["port_id"], allowed_address_pairs=pairs)
    macs = {name: central.get_port(servers[name]["port_id"]).mac_address for name in servers}

    def answers_at(holder: str) -> bool:
        return all(
            person.ping(client, one) and neighbour(servers[client], one) == macs[holder]
            for client in ("ca", "cb")
            for one in VIRTUAL
        )

    until(
        lambda: all(
            person.ping(client, address(servers[there], 4))
            for client, there in (("ca", "cb"), ("cb", "va"), ("ca", "vb"))
        ),
        what="the servers reach each other by their own addresses",
        timeout_s=300,
    )
    with speaking(servers["vb"], 100, tmp_path):
        until(lambda: answers_at("vb"), what="site2 has the address", timeout_s=180)
        with speaking(servers["va"], 150, tmp_path):
            until(lambda: answers_at("va"), what="site1 takes it over", timeout_s=180)
            _set_link(servers["va"], "down")  # as a server that dies, not one that says goodbye
            until(lambda: answers_at("vb"), what="site2 has it again", timeout_s=180)
            _set_link(servers["va"], "up")
    person.agree()
    for name in names:
        person.run("lab", "server", "delete", name)


def _set_link(server: dict[str, Any], state: str) -> None:
    subprocess.run(
        ["ip", "-n", server["netns"], "link", "set", "eth0", state], check=True, timeout=30
    )
