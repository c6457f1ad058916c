"""The base of the site play over real SSH hosts: Ansible as it comes, tuned, and by Isthmus.

Each host is a machine of the lab's tests: a root, a process and a network namespace of its own with
an SSH server. Each way of running has hosts of its own, fresh ones; the play is run twice, for what
it makes and for when there is nothing to do. Hosts and the builder share this machine's cores, so
the processor time of the builder alone is given, too: at hundreds of hosts that is what is left.
"""

import argparse
import contextlib
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import bare
from tests.lab.machine import Machine, Switch, inside

from bench.ground import say_machine
from isthmus.build.configure import package
from isthmus.wiring.build_configure import make_secrets, write_ansible

TARGET_RATIO = 5.0
BIN = Path(sys.executable).parent
FLEET = """\
builder: {{address: 192.0.2.1, interface: br0}}
images:
- {{name: debian, file: debian.raw, size_mib: 620,
   sha256: "{zeros}"}}
disks:
- {{name: plain, device: /dev/vda}}
roles:
- {{name: cloud}}
- {{name: all-in-one}}
- {{name: more}}
services:
  mariadb: [cloud, all-in-one, more]
  memcached: [cloud, all-in-one, more]
  keystone: [cloud]
  isthmus-xjob: [cloud]
  neutron-server: [cloud, all-in-one]
  ovn-central: [all-in-one]
  ovn-controller: [all-in-one, more]
defaults: {{image: debian, disks: plain, bmc: {{kind: manual}}}}
central: middle
sites:
- name: middle
  provisioning: boot
  networks:
  - {{name: boot, cidr: 192.0.2.0/28, pool: 192.0.2.2-192.0.2.14}}
  racks:
  - name: r1
    nodes:
    - {{name: c1, mac: "52:54:00:00:00:01", roles: [cloud], addresses: {{boot: 192.0.2.10}}}}
- name: north
  provisioning: boot
  networks:
  - {{name: boot, cidr: 192.0.2.64/26, pool: 192.0.2.65-192.0.2.126}}
  racks:
  - name: r2
    nodes:
{nodes}
"""
PLAY = """\
- hosts: all
  roles: [isthmus.site.packages, isthmus.site.environment, isthmus.site.mariadb]
- hosts: service_memcached
  roles: [isthmus.site.memcached]
- hosts: service_ovn_controller
  roles: [isthmus.site.ovn_controller]
"""
_SSH = "-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={folder}/known_hosts"
#: What a host cannot be reached without is in both; the rest is Ansible's own, and then the four.
_DEFAULTS = """\
[defaults]
inventory = {folder}/inventory/hosts.yaml
collections_path = {collections}
vault_password_file = {folder}/vault-password
[ssh_connection]
ssh_common_args = {ssh}
"""
_TUNED = """\
[defaults]
inventory = {folder}/inventory/hosts.yaml
collections_path = {collections}
vault_password_file = {folder}/vault-password
gathering = explicit
forks = {forks}
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=600s
ssh_common_args = {ssh}
"""


@dataclass(frozen=True, slots=True)
class Took:
    """One run: by the clock, and of the processor by the builder's own processes."""

    seconds: float
    builder_s: float


@contextlib.contextmanager
def hosts(folder: Path, count: int) -> Iterator[Path]:
    """Make fresh machines and the state of a build that made them; gives the state."""
    nodes = {f"n{number}": f"192.0.2.{64 + number}" for number in range(1, count)}
    rows = "\n".join(
        f"    - {{name: {name}, mac: '52:54:00:00:01:{int(name[1:]):02x}', "
        f"roles: [{'all-in-one' if name == 'n1' else 'more'}], addresses: {{boot: {address}}}}}"
        for name, address in nodes.items()
    )
    nodes["c1"] = "192.0.2.10"
    (folder / "fleet.yaml").write_text(FLEET.format(zeros="0" * 64, nodes=rows))
    wheel = bare.make_wheel(folder)
    key, public = bare.make_key(folder)
    state = folder / "state"
    bare.write_state(state, list(nodes), key)
    lock = Path(package.__file__).with_name("requirements.lock").read_bytes()
    stamp = f"{digest(lock)} {wheel.name} {digest(wheel.read_bytes())}"
    switch = Switch("bbuild-wan")
    made: list[Machine] = []
    try:
        inside(switch.netns, "ip", "addr", "add", "192.0.2.1/24", "dev", "br0")
        for number, (name, address) in enumerate(nodes.items()):
            made.append(Machine(f"bbuild-{name}", switch, number, folder / name))
            bare.prepare(made[-1], address, public)
            bare.note_environment(made[-1], stamp)
        yield state
    finally:
        for machine in made:
            machine.close()
        switch.close()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def run(folder: Path, words: list[str | Path], env: dict[str, str]) -> Took:
    """Run a command on the builder; it must succeed."""
    path = f"{BIN}:{os.environ['PATH']}"
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        ["ip", "netns", "exec", "bbuild-wan", *words], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PATH": path, **env}, check=False,
    )  # fmt: skip
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(seconds, spent)


def measure(way: str, count: int) -> list[Took]:
    """Run the play twice over fresh hosts, one way."""
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as name:
        folder = Path(name)
        with hosts(folder, count) as state:
            make_secrets(folder / "fleet.yaml", state)
            ansible, found = write_ansible(folder / "fleet.yaml", state)
            assert found == count
            wheel = package.package_variables(folder / "isthmus.whl")
            variables = folder / "state/ansible/inventory/group_vars/all/wheel.yaml"
            variables.write_text("".join(f"{key}: {value}\n" for key, value in wheel.items()))
            play = folder / "play.yaml"
            if way == "isthmus":
                play.write_text(PLAY)
                main = [sys.executable, "-c", "from isthmus.cli.main import run; run()"]
                words = [*main, "build", "configure", "fleet.yaml", play.name, "--state", "state"]
                return [run(folder, [*words], {}) for _ in range(2)]
            play.write_text(PLAY)
            settings = folder / "own.cfg"
            text = _DEFAULTS if way == "defaults" else _TUNED
            ssh = _SSH.format(folder=ansible)
            collections = package.find_collections()
            settings.write_text(
                text.format(folder=ansible, collections=collections, ssh=ssh, forks=count)
            )
            env = {"ANSIBLE_CONFIG": str(settings), "HOME": str(folder)}
            return [run(folder, ["ansible-playbook", play], env) for _ in range(2)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=6)
    arguments = parser.parse_args()
    count: int = arguments.hosts
    say_machine("before")
    took = {way: measure(way, count) for way in ("defaults", "tuned", "isthmus")}
    say_machine("after")
    for way, runs in took.items():
        for run_name, one in zip(("first run", "nothing to do"), runs, strict=True):
            print(
                f"{way:9} {run_name:14} {count} hosts: {one.seconds:6.1f} s,"
                f" builder's processor {one.builder_s:6.1f} s"
                f" ({one.builder_s / count:.2f} s a host)"
            )
    for number, run_name in enumerate(("first run", "nothing to do")):
        plain = took["defaults"][number]
        for way in ("tuned", "isthmus"):
            ours = took[way][number]
            print(
                f"{run_name}: defaults / {way}: {plain.seconds / ours.seconds:.2f} by the clock"
                f" (target >= {TARGET_RATIO:g}), {plain.builder_s / ours.builder_s:.2f} of the"
                " builder's processor"
            )
    left = took["isthmus"][1].builder_s / count * 800 / (os.cpu_count() or 1)
    print(f"at 800 hosts the builder's {os.cpu_count()} cores alone would take {left:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
