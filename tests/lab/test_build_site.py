"""`isthmus build site`: two machines that a build made become central and a site that is joined.

They are reached over SSH. The second run changes nothing, and no password is where none should be.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from tests.lab import bare
from tests.lab.conftest import need_lab, new_name
from tests.lab.machine import ENVIRONMENT, Machine, Switch, inside
from tests.lab.page import Step, run_step

from isthmus.build.configure import folder as configured
from isthmus.testing.needed import lack, skip_without
from isthmus.testing.until import until

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.stress]
NEEDED = {"mariadbd", "memcached", "nsenter", "sshd", "ssh-keygen", "ssh", "ansible-playbook"}
NODES = {"c1": "192.0.2.10", "n1": "192.0.2.17"}
FLEET = """\
builder: {address: 192.0.2.1, interface: br0}
images:
- {name: debian, file: debian.raw, size_mib: 620,
   sha256: 0000000000000000000000000000000000000000000000000000000000000001}
disks:
- {name: plain, device: /dev/vda}
roles:
- {name: cloud}
- {name: all-in-one}
services:
  mariadb: [cloud, all-in-one]
  memcached: [cloud, all-in-one]
  keystone: [cloud]
  isthmus-xjob: [cloud]
  neutron-server: [cloud, all-in-one]
  ovn-central: [all-in-one]
  ovn-controller: [all-in-one]
defaults: {image: debian, disks: plain, bmc: {kind: manual}}
central: middle
sites:
- name: middle
  provisioning: boot
  networks:
  - {name: boot, cidr: 192.0.2.0/28, pool: 192.0.2.2-192.0.2.14}
  racks:
  - name: r1
    nodes:
    - {name: c1, mac: 52:54:00:00:00:01, roles: [cloud], addresses: {boot: 192.0.2.10}}
- name: north
  provisioning: boot
  networks:
  - {name: boot, cidr: 192.0.2.16/28, pool: 192.0.2.17-192.0.2.30}
  racks:
  - name: r2
    nodes:
    - {name: n1, mac: 52:54:00:00:00:02, roles: [all-in-one], addresses: {boot: 192.0.2.17}}
"""
#: What a site has besides, that has a Nova.
COMPUTE_FLEET = FLEET.replace(
    "defaults: {",
    """\
  rabbitmq: [all-in-one]
  placement: [all-in-one]
  glance: [all-in-one]
  nova-api: [all-in-one]
  nova-scheduler: [all-in-one]
  nova-conductor: [all-in-one]
  nova-compute: [all-in-one]
defaults: {""",
)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Switch, dict[str, Machine]]]:
    need_lab()
    skip_without(NEEDED - {one for one in NEEDED if shutil.which(one)})
    if "overlay" not in Path("/proc/filesystems").read_text():
        lack("overlayfs", hint="the kernel does not have it")
    name, made = new_name(), {}
    switch = Switch(f"{name}-wan")
    inside(switch.netns, "ip", "addr", "add", "192.0.2.1/24", "dev", "br0")
    try:
        for number, node in enumerate(NODES):
            made[node] = Machine(f"{name}-{node}", switch, number, tmp_path / node)
        yield switch, made
    finally:
        for machine in made.values():
            machine.close()
        switch.close()


@contextmanager
def watched_processes() -> Iterator[set[bytes]]:
    """Collect the command lines of all processes that run meanwhile, again and again."""
    seen, over = set[bytes](), threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((process / "cmdline").read_bytes())
                except OSError:
                    continue  # it ended

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def begin(folder: Path, switch: Switch) -> subprocess.Popen[str]:
    """Begin `isthmus build site` on the builder, which is where the switch is."""
    command = [sys.executable, "-c", "from isthmus.cli.main import run; run()"]
    words = ["build", "site", "fleet.yaml", "--state", "state", "--wheel", "isthmus.whl"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["ip", "netns", "exec", switch.netns, *command, *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PATH": path},
    )  # fmt: skip


def finish(begun: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = begun.communicate(timeout=1500)
    return subprocess.CompletedProcess(begun.args, begun.returncode, out, err)


def build(folder: Path, switch: Switch) -> subprocess.CompletedProcess[str]:
    """Run `isthmus build site` to its end."""
    return finish(begin(folder, switch))


def read_passwords(state: Path) -> dict[str, str]:
    key = state / "ansible/vault-password"
    file = state / "ansible/inventory/group_vars/all/passwords.yaml"
    assert file.read_text().startswith("$ANSIBLE_VAULT;")
    assert key.stat().st_mode & 0o077 == 0
    tool = Path(sys.executable).with_name("ansible-vault")
    shown = subprocess.run(
        [tool, "view", "--vault-password-file", key, file],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    found: dict[str, str] = yaml.safe_load(shown.stdout)["isthmus_passwords"]
    return found


@pytest.mark.timeout(2400)
def test_two_machines_become_a_joined_site(
    machines: tuple[Switch, dict[str, Machine]], tmp_path: Path
) -> None:
    switch, nodes = machines
    state = tmp_path / "state"
    prepare(nodes, tmp_path, FLEET)

    with watched_processes() as processes:
        first = build(tmp_path, switch)
    assert first.returncode == 0, told(first, nodes)
    see_nothing_secret(read_passwords(state), processes, state, first.stdout + first.stderr, nodes)

    see_a_port(nodes["c1"], nodes["n1"])

    again = build(tmp_path, switch)
    assert again.returncode == 0, told(again, nodes)
    assert "changed:" not in again.stderr, again.stderr
    assert [changes for _, changes in recaps(again.stdout)] == [0, 0, 0]

    see_a_killed_builder(tmp_path, switch)
    see_a_silent_site(tmp_path, switch, nodes["n1"])
    # As if a run had been killed when it had written it.
    nodes["n1"].run("touch /etc/neutron/policy.yaml")
    whole = build(tmp_path, switch)
    assert whole.returncode == 0, told(whole, nodes)
    assert re.findall(r"^(\w+) changed: (.*) \(", whole.stderr, re.M) == [
        ("n1", "Neutron has read what is written"),
        ("n1", "Restart Neutron"),
        ("n1", "Note when Neutron was started"),
    ]


def prepare(nodes: dict[str, Machine], folder: Path, fleet: str) -> None:
    """Have a fleet, whose machines are active and reached over SSH, and what is installed there."""
    wheel, state = bare.make_wheel(folder), folder / "state"
    (folder / "fleet.yaml").write_text(fleet)
    key, public = bare.make_key(folder)
    bare.write_state(state, list(nodes), key)
    lock = Path(configured.__file__).with_name("requirements.lock").read_bytes()
    stamp = f"{digest(lock)} isthmus.whl {digest(wheel.read_bytes())}"
    for node, machine in nodes.items():
        bare.prepare(machine, NODES[node], public)
        bare.note_environment(machine, stamp)


def see_a_killed_builder(folder: Path, switch: Switch) -> None:
    """Kill it at its work, and see that one of the next two goes on, and nothing goes on beside."""
    artifacts = folder / "state/ansible/artifacts"
    before = set(artifacts.iterdir())

    def is_at_work() -> bool:
        new = [one / "stdout" for one in set(artifacts.iterdir()) - before]
        return any("isthmus.site.mariadb" in one.read_text() for one in new if one.exists())

    killed = begin(folder, switch)
    until(is_at_work, what="Ansible is at work", timeout_s=300)
    killed.kill()
    killed.communicate(timeout=60)
    before = set(artifacts.iterdir())
    first = begin(folder, switch)
    until(lambda: set(artifacts.iterdir()) - before, what="Ansible has begun", timeout_s=300)
    second = build(folder, switch)
    assert second.returncode != 0
    assert "another one runs Ansible in" in second.stderr
    first_done = finish(first)
    assert first_done.returncode == 0, first_done.stderr + first_done.stdout
    assert "changed:" not in first_done.stderr, first_done.stderr


def see_a_silent_site(folder: Path, switch: Switch, site: Machine) -> None:
    """Have a machine's SSH server gone, and then back with another key."""
    site.run("pkill -x sshd")
    refused = build(folder, switch)
    assert refused.returncode == 1
    assert re.search("^n1 unreachable: .* Connection refused", refused.stderr, re.M), refused.stderr
    assert "north did not come up" in refused.stderr
    assert "changed:" not in refused.stderr, refused.stderr
    site.run("mkdir /etc/ssh/kept && mv /etc/ssh/ssh_host_* /etc/ssh/kept && ssh-keygen -A")
    bare.serve_ssh(site, NODES["n1"])
    changed = build(folder, switch)
    assert changed.returncode == 1
    assert "n1 unreachable: " in changed.stderr
    assert "its SSH host key is not the one of the first connection" in changed.stderr
    site.run("pkill -x sshd; mv /etc/ssh/kept/* /etc/ssh")
    bare.serve_ssh(site, NODES["n1"])


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def told(done: subprocess.CompletedProcess[str], nodes: dict[str, Machine]) -> str:
    """Return what a failed run said, and the ends of the services' logs."""
    logs = "\n".join(machine.read_logs() for machine in nodes.values())
    return f"{done.stderr}\n{done.stdout}\n{logs}"


def recaps(output: str) -> list[tuple[str, int]]:
    """Read the tables at the end of the playbooks: host, and how many tasks changed something."""
    rows = re.findall(r"^(c1|n1) +\d+ +(\d*)", output, re.M)
    return [(host, int(changed or 0)) for host, changed in rows]


def see_nothing_secret(
    passwords: dict[str, str],
    processes: set[bytes],
    state: Path,
    said: str,
    nodes: dict[str, Machine],
) -> None:
    """See that no password stood in a list of processes, in the state or in a log."""
    assert len(passwords) >= 8
    assert len(processes) > 20
    files = {str(file): file.read_bytes() for file in state.rglob("*") if file.is_file()}
    assert any(name.endswith("/stdout") for name in files)
    logs = {node: machine.run("cat /var/log/*.log").encode() for node, machine in nodes.items()}
    for name, password in passwords.items():
        secret = password.encode()
        assert not [line for line in processes if secret in line], name
        assert not [file for file, text in files.items() if secret in text], name
        assert not [node for node, text in logs.items() if secret in text], name
        assert password not in said, name


def open_clouds(central: Machine, site: Machine) -> None:
    """Log in as the administrator, on both machines."""
    clouds = central.run("cat /etc/isthmus/clouds.yaml")
    (site.shared / "clouds.yaml").write_text(clouds)
    for machine, file in (
        (central, "/etc/isthmus/clouds.yaml"),
        (site, site.shared / "clouds.yaml"),
    ):
        machine.run(f"export OS_CLIENT_CONFIG_FILE={file} OS_CLOUD=middle")
        machine.run(f"export PATH={ENVIRONMENT}/bin:$PATH")


def see_a_port(central: Machine, site: Machine) -> None:
    """Have a network at central, a port at the site, and see it ACTIVE and no fault."""
    open_clouds(central, site)
    central.run("openstack network create net1")
    central.run("openstack subnet create --network net1 --subnet-range 10.0.0.0/24 net1-v4")
    central.run("isthmus network extend net1 north --wait 120")
    create = "openstack --os-cloud north port create --network net1 --host n1"
    port = central.run(f"{create} --device-owner compute:none vm1 -f value -c id").strip()
    interface = f"-- set Interface vm1 type=internal external_ids:iface-id={port}"
    site.run(f"ovs-vsctl add-port br-int vm1 {interface}")
    for command, printed in (
        ("openstack --os-cloud north port show vm1 -f value -c status", "ACTIVE"),
        ("openstack port show vm1 -f value -c status", "ACTIVE"),
    ):
        step = Step(line=0, section="", command=command, repeat=True, printed=(printed,))
        run_step(central.shell, step, "see_a_port")
    site.run("isthmus check --ovn north=tcp:127.0.0.1:6641,tcp:192.0.2.17:6642")
    assert central.run("openstack network list -f value -c Name").split() == ["net1"]
