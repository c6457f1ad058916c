"""`isthmus why --ssh`: hypervisors are read through ssh and their own tools as in a lab.

Each hypervisor of the lab gets an sshd, started for each connection in its network namespace, and
a folder in which the sockets of its daemons are called as on a machine of its own.
"""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.person import Person

from isthmus import errors
from isthmus.clients.machine.hypervisor import SshHypervisor, SshHypervisors, parse_targets
from isthmus.facts.ovsdb import Select
from isthmus.lab.network.reading import HypervisorReader
from isthmus.lab.opened import OpenLab
from isthmus.testing.needed import skip_without
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
NEEDED = {"ssh", "sshd", "ssh-keygen"}
READ_S = "120"
PACKET_S = 180
HOSTS = ("site1-h1", "site1-h2", "site2-h1", "site2-h2")
#: What Open vSwitch's tools look for in the folder of its sockets, and what a lab calls it.
DAEMONS = {"ovs-vswitchd": "vswitchd.ctl", "ovn-controller": "ovn-controller.*.ctl"}


@dataclass
class Logins:
    """Hypervisors that can be logged in to."""

    folder: Path
    options: list[str]

    def open(self, name: str, *, key: str = "id") -> SshHypervisor:
        targets = parse_targets(["root@%h"], identity=str(self.folder / key), options=self.options)
        found = SshHypervisors(targets).find(name)
        assert found is not None
        return found

    def words(self, key: str = "id") -> list[str]:
        more = [word for one in self.options for word in ("--ssh-option", one)]
        return ["--ssh", "root@%h", "--identity", str(self.folder / key), *more]


@pytest.fixture(scope="module")
def logins(lab: OpenLab) -> Iterator[Logins]:
    skip_without(NEEDED - {one for one in NEEDED if shutil.which(one)})
    folder = Path(tempfile.mkdtemp(prefix="ssh-"))  # short: sockets are below it
    for key in ("host", "id", "stranger"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(words, check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    with contextlib.ExitStack() as held:
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in HOSTS:
            _prepare(lab, folder, name, held)
        inside = f"nsenter --net=$(readlink {folder}/%h.netns) {shutil.which('sshd')} -i"
        yield Logins(
            folder,
            [
                f"ProxyCommand={inside} -f {folder}/%h.conf -E {folder}/sshd.log",
                f"UserKnownHostsFile={folder}/known",
                "StrictHostKeyChecking=accept-new",
            ],
        )


def _prepare(lab: OpenLab, folder: Path, name: str, held: contextlib.ExitStack) -> None:
    """Lay out the sockets of a hypervisor, and write what its sshd goes by."""
    host = lab.plan.get_hypervisor(name)
    home, run = lab.plan.host_dir(host), folder / f"{name}.run"
    run.mkdir()
    for socket in ("db.sock", "br-int.mgmt"):
        (run / socket).symlink_to(home / socket)
    for daemon, socket in DAEMONS.items():
        # The tools take who has locked the file for the daemon, and its number for the socket's.
        file = held.enter_context((run / f"{daemon}.pid").open("w"))
        file.write(f"{os.getpid()}\n")
        file.flush()
        fcntl.lockf(file, fcntl.LOCK_EX)
        (found,) = home.glob(socket)
        (run / f"{daemon}.{os.getpid()}.ctl").symlink_to(found)
    (folder / f"{name}.netns").symlink_to(Path("/run/netns") / host.netns)
    (folder / f"{name}.conf").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/id.pub\nUsePAM no\nStrictModes no\n"
        f"PidFile none\nSetEnv OVS_RUNDIR={run} OVN_RUNDIR={run}\n"
    )


def test_a_hypervisor_is_read_alike_in_both_ways(lab: OpenLab, logins: Logins) -> None:
    here, there = HypervisorReader(lab.plan, lab.tools, "site1-h1"), logins.open("site1-h1")
    selects = [
        Select("Open_vSwitch", columns=("external_ids", "ovs_version")),
        Select("Interface", columns=("name", "type", "options", "ofport")),
    ]
    assert _ordered(there.select(selects)) == _ordered(here.select(selects))
    for daemon, word in (("ovs-vswitchd", "version"), ("ovn-controller", "connection-status")):
        assert there.ask_daemon(daemon, word) == here.ask_daemon(daemon, word)
    for words in (("link", "show"), ("route", "show")):
        assert json.loads(there.run_ip(*words)) == json.loads(here.run_ip(*words))
    match = "table=0"
    assert len(there.list_flows(match)) == len(here.list_flows(match)) > 0
    assert there.list_flows("", "br-int")
    first = [one.read_file("/proc/net/snmp").splitlines()[0] for one in (here, there)]
    assert first[0] == first[1]
    assert here.read_log("ovn-controller")
    for reader in (here, there):
        with pytest.raises(errors.NotFound):
            reader.read_file("/no/such/file")
        with pytest.raises(errors.StepFailed):
            reader.run_ip("link", "show", "dev", "none")
        with pytest.raises(errors.NotFound):
            reader.ask_daemon("ovn-northd", "version")


def _ordered(found: list[list[Any]]) -> list[list[str]]:
    return [sorted(json.dumps(row, sort_keys=True) for row in rows) for rows in found]


def test_who_is_not_let_in_is_told(logins: Logins) -> None:
    with pytest.raises(errors.Unreachable, match=r"ssh to root@site1-h1 failed: .*denied"):
        logins.open("site1-h1", key="stranger").run_ip("link", "show")


@pytest.fixture(scope="module")
def pair(lab: OpenLab) -> Iterator[Person]:
    person = Person(lab.plan)
    central = person.network("central")
    network = central.create_network(name="over-ssh").id
    central.create_subnet(network_id=network, ip_version=4, cidr="10.94.0.0/24")
    try:
        person.server("ssh-a", "site1", network, "--host", "site1-h1")
        row = person.server("ssh-b", "site2", network, "--host", "site2-h1")
        (address,) = row["addresses"]
        until(
            lambda: person.ping("ssh-a", address, count=1), what="packets pass", timeout_s=PACKET_S
        )
        yield person
    finally:
        for name in ("ssh-a", "ssh-b"):
            person.run("lab", "server", "delete", name)
        central.delete_network(network)


def _why(person: Person, logins: Logins, key: str = "id") -> dict[str, Any]:
    words = ("why", "ssh-a", "ssh-b", "--timeout", READ_S, *logins.words(key), "-o", "json")
    done = person.run(*words, check=False)
    assert done.returncode in (0, 4, 5, 6), done.stderr
    return dict(json.loads(done.stdout))


def _not_looked_at(found: dict[str, Any]) -> list[str]:
    return [one["place"] for one in found["not_looked_at"] if one["place"] in HOSTS]


def test_why_reads_hypervisors_over_ssh(pair: Person, logins: Logins) -> None:
    found = _why(pair, logins)
    assert (found["verdict"], _not_looked_at(found)) == ("reachable", [])
    # What a hypervisor alone can tell: its ovs-vswitchd does not answer.
    pair.run("lab", "kill", "site2-h1.vswitchd", "--signal", "STOP")
    try:
        found = _why(pair, logins)
    finally:
        pair.run("lab", "kill", "site2-h1.vswitchd", "--signal", "CONT")
    assert (found["verdict"], found["blockers"][0]["code"]) == ("blocked", "host.vswitchd_hung")
    assert "isthmus lab" not in found["blockers"][0]["remedy"]


def test_who_is_not_let_in_still_has_an_answer(pair: Person, logins: Logins) -> None:
    found = _why(pair, logins, "stranger")
    assert found["verdict"] == "reachable"
    assert set(_not_looked_at(found)) == {"site1-h1", "site2-h1"}
    assert all("denied" in one["reason"] for one in found["not_looked_at"] if one["place"] in HOSTS)
