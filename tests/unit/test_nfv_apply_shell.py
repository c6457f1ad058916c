"""The functions of apply.sh that edit what others have written, run by a shell on files here."""

import base64
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isthmus.facts.host.oslo_conf import parse_ini
from isthmus.facts.script import render_functions
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.render import script
from isthmus.testing.nfv.nfv_shapes import by_name

OURS = """\
# Written by Isthmus

[DEFAULT]
reserved_huge_pages = node:0,size:1048576,count:2
reserved_huge_pages = node:1,size:1048576,count:1

[compute]
cpu_dedicated_set = 2-4
"""
THEIRS = """\
[DEFAULT]
transport_url = rabbit://nova:PASSWORD@mq/
vcpu_pin_set = 1-4
reserved_huge_pages = node:0,size:2048,count:9
reserved_huge_pages: node:1,size:2048,
  count:9
# cpu_dedicated_set = 9
[compute]
cpu_dedicated_set = 0-9
cpu_shared_set = 0
[libvirt]
virt_type = kvm
"""


def run(folder: Path, *lines: str, carriers: str = "") -> subprocess.CompletedProcess[str]:
    """Run lines after the functions, where the host's own answers are made up."""
    text = "\n".join(
        [
            render_functions(),
            f"S={folder}/state OLD='reserved_host_cpus vcpu_pin_set' ARGS= STAY=2",
            f"nova_files() {{ echo {folder}/*.conf; }}",
            "find_layout() { E= N= X= L=plain; }",
            f"carriers() {{ printf '%s' '{carriers}'; }}",
            script.read_apply(),
            *lines,
        ]
    )
    return subprocess.run(
        ["sh", "-s"], input=text, capture_output=True, text=True, timeout=120, check=False
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "nova.conf"
    path.write_text(THEIRS)
    path.chmod(0o640)
    return path


def test_options_are_merged_into_what_a_tool_has_written(tmp_path: Path, theirs: Path) -> None:
    line = f"merge {theirs} 644 nova <<'END'\n{encoded(OURS)}\nEND"
    done = run(tmp_path, line)
    assert (done.returncode, done.stdout) == (0, f"changed {theirs}\n"), done.stderr
    assert parse_ini(theirs.read_text()) == {
        "DEFAULT/transport_url": ("rabbit://nova:PASSWORD@mq/",),
        "DEFAULT/reserved_huge_pages": (
            "node:0,size:1048576,count:2",
            "node:1,size:1048576,count:1",
        ),
        "compute/cpu_shared_set": ("0",),
        "compute/cpu_dedicated_set": ("2-4",),
        "libvirt/virt_type": ("kvm",),
    }
    assert theirs.stat().st_mode & 0o777 == 0o640, "its own rights stay"
    assert (tmp_path / "state/pending/nova").exists()
    once = theirs.read_text()
    again = run(tmp_path, line)
    assert again.stdout == f"same {theirs}\n"
    assert theirs.read_text() == once
    changed = OURS.replace("2-4", "3-4")
    run(tmp_path, f"merge {theirs} 644 nova <<'END'\n{encoded(changed)}\nEND")
    assert parse_ini(theirs.read_text())["compute/cpu_dedicated_set"] == ("3-4",)
    kept = (tmp_path / f"state/1/files{theirs}").read_text()
    assert kept == THEIRS, "what was there before is kept for rollback"


def make_machine(folder: Path) -> Path:
    """Make the files of a machine of two nodes with two CPUs each, of which CPU 3 is off."""
    system = folder / "sys/devices/system"
    for node, cpus in enumerate(((0, 1), (2, 3))):
        (system / f"node/node{node}").mkdir(parents=True)
        memory = f"Node {node} MemTotal:   4194304 kB\nNode {node} MemFree:    9 kB\n"
        (system / f"node/node{node}/meminfo").write_text(memory)
        for cpu in cpus:
            (system / f"cpu/cpu{cpu}").mkdir(parents=True)
            if cpu != 3:
                (system / f"cpu/cpu{cpu}/node{node}").mkdir()
    (folder / "sys/bus/pci/devices/0000:18:00.0").mkdir(parents=True)
    return folder


#: What a plan is for, and what is said of a machine that has not got it; nothing where it has.
MATCHES = {
    "its own": ("match '0:4194304:0,1 1:2097152:2,3'; devices 0000:18:00.0", ""),
    "no pages": ("match '0:0:0,1 1:0:2'; devices", ""),
    "more memory": ("match '0:5242880:0'", "node 0 has 4096 MiB, and 5120 MiB of huge pages are"),
    "more nodes": ("match '0:0:0 2:0:2'", "there is no NUMA node 2 here"),
    "more CPUs": ("match '0:0:0,1,4'", "there is no CPU 4 here"),
    "CPUs in another order": ("match '0:0:0,2'", "CPU 2 is not on NUMA node 0 here"),
    "another slot": ("devices 0000:18:00.0 0000:af:00.0", "no device is at 0000:af:00.0 here"),
}


@pytest.mark.parametrize("name", MATCHES)
def test_a_plan_is_put_on_the_host_that_it_is_for(tmp_path: Path, name: str) -> None:
    line, said = MATCHES[name]
    done = run(tmp_path, f"R={make_machine(tmp_path)}", line, "say on")
    if not said:
        assert (done.returncode, done.stdout) == (0, "on\n"), done.stderr
        return
    assert done.returncode == 3
    assert done.stdout.startswith(f"failed: {said}")
    assert "plan this one from its own inventory" in done.stdout


def test_a_kernel_that_knows_no_nodes_is_held_to_its_cpus(tmp_path: Path) -> None:
    for cpu in (0, 1):
        (tmp_path / f"sys/devices/system/cpu/cpu{cpu}").mkdir(parents=True)
    assert run(tmp_path, f"R={tmp_path}", "match '0:4194304:0,1'", "say on").stdout == "on\n"
    assert "there is no CPU 2" in run(tmp_path, f"R={tmp_path}", "match '0:9:2'").stdout


def test_a_plan_asks_for_its_own_nodes_and_devices_before_anything_is_written() -> None:
    shape = by_name("xeon-nics-on-one-node")
    plan = plan_host(shape.inventory, parse_demand(shape.demand))
    assert isinstance(plan, HostPlan)
    lines = script.render_apply(plan).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("match '"))
    given = [one.pci_address for one in plan.dpdk_ports]
    given += [one.pci_address for one in plan.sriov]
    assert lines[first + 1].split() == ["devices", *sorted(given)]
    writes = [number for number, line in enumerate(lines) if line.endswith("<<'END'")]
    assert first < min([*writes, lines.index("retire")])
    nodes = [one.split(":") for one in lines[first].removeprefix("match ").strip("'").split()]
    assert [int(one[0]) for one in nodes] == [node.id for node in plan.nodes]
    assert {int(cpu) for one in nodes for cpu in one[2].split(",")} == {
        cpu for core in shape.inventory.cores for cpu in core.cpus
    }


def test_merging_into_nothing_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, f"merge {tmp_path}/gone.conf 644 nova <<'END'\n{encoded(OURS)}\nEND")
    assert done.returncode == 3
    assert "has the deployment tool run?" in done.stdout


def test_options_of_old_are_taken_out_and_nothing_else(tmp_path: Path, theirs: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text("[elsewhere]\nvcpu_pin_set = 7\n[DEFAULT]\nreserved_host_cpus=2\n")
    done = run(tmp_path, "retire")
    assert done.returncode == 0, done.stderr
    assert "DEFAULT/vcpu_pin_set" not in parse_ini(theirs.read_text())
    assert parse_ini(other.read_text()) == {"elsewhere/vcpu_pin_set": ("7",)}
    left = theirs.read_text().replace("# isthmus nfv took this out: ", "")
    assert left == THEIRS
    assert run(tmp_path, "retire").stdout == ""


def test_a_port_that_carries_ssh_is_not_taken(tmp_path: Path) -> None:
    carriers = "ens1 default route\nens1 ssh session\nens10 default route\n"
    done = run(tmp_path, "guard ens2 ens1", "say went on", carriers=carriers)
    assert done.returncode == 3
    assert "failed: ens1 carries this host's default route,ssh session" in done.stdout
    assert "went on" not in done.stdout
    again = run(tmp_path, "guard ens2 ens100", "say went on", carriers=carriers)
    assert again.stdout == "went on\n"


#: A systemctl that knows one unit, whose main process is in a file.
SYSTEMCTL = """#!/bin/sh
case "$1" in
cat) [ "$2" = nova-compute ] ;;
is-active) [ -s "$D/pid" ] ;;
restart) cp "$D/next" "$D/pid" ;;
show)
  case "$*" in
  *MainPID*) cat "$D/pid"; [ ! -e "$D/dies" ] || : >"$D/pid" ;;
  *) echo enabled ;;
  esac ;;
esac
"""


@pytest.mark.parametrize(("dies", "code"), [(False, 0), (True, 3)])
def test_a_service_that_does_not_come_back_is_said(
    tmp_path: Path, *, dies: bool, code: int
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "journalctl").write_text("#!/bin/sh\necho 'ERROR nova: vcpu_pin_set is old'\n")
    for one in programs.iterdir():
        one.chmod(0o755)
    (tmp_path / "next").write_text("77\n")
    if dies:
        (tmp_path / "dies").touch()
    done = run(
        tmp_path,
        f"D={tmp_path}; export D; PATH={programs}:$PATH",
        "restart other nova-compute",
        "say went on",
    )
    assert done.returncode == code, done.stdout + done.stderr
    if dies:
        assert "nova-compute does not come back: ERROR nova: vcpu_pin_set is old" in done.stdout
    else:
        assert done.stdout == "restarted nova-compute\nwent on\n"


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_has_its_places(tmp_path: Path, layout: Layout) -> None:
    text = script.render_places()
    calls = "place nova; place ovs_agent; place sriov_agent; units nova; nova_files"
    lines = [f"L={layout}", calls]
    done = subprocess.run(
        ["sh", "-s"],
        input="\n".join([text, *lines]),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = done.stdout.splitlines()
    assert len(said) == 5
    assert all(line.split()[0] in {"put", "merge"} for line in said[:3])


def test_the_layout_is_found_by_what_is_there(tmp_path: Path) -> None:
    for name, layout in (
        ("etc/kolla/nova-compute", "kolla"),
        ("var/lib/config-data/puppet-generated/nova_libvirt", "tripleo"),
        ("var/lib/openstack/config/nova", "rhoso"),
        ("etc/nova", "plain"),
    ):
        root = tmp_path / layout
        (root / name).mkdir(parents=True)
        done = subprocess.run(
            ["sh", "-s"],
            input=render_functions(root=str(root)) + "\nfind_layout; echo $L\n",
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout.strip() == layout


def test_the_shell_is_sound() -> None:
    dash = shutil.which("dash") or shutil.which("sh")
    for text in (render_functions(), script.read_apply(), script.render_rollback()):
        done = subprocess.run(
            [str(dash), "-n"], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr


def test_two_applies_wait_for_each_other(tmp_path: Path) -> None:
    """The second begins to write when the first, whose connection may be gone, has ended."""
    order = tmp_path / "order"
    first = subprocess.Popen(
        ["sh", "-c", f'mkdir -p "{tmp_path}/state"; exec 9>"{tmp_path}/state/lock"; flock 9; '
         f'echo held; read -r _; echo first >>"{order}"'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(run, tmp_path, f'echo second >>"{order}"')
        first.communicate("go on\n", timeout=60)
        assert second.result().returncode == 0, second.result()
    assert order.read_text().split() == ["first", "second"]


SWITCH_CONFIG = """{
  "command": "/usr/sbin/ovs-vswitchd unix:/run/openvswitch/db.sock --mlockall",
  "config_files": []
}
"""


def test_a_switch_in_a_container_begins_on_the_hosts_cpus(tmp_path: Path) -> None:
    path = tmp_path / "etc/kolla/ovsdpdk-vswitchd/config.json"
    path.parent.mkdir(parents=True)
    path.write_text(SWITCH_CONFIG)
    before = (f"R={tmp_path} V=ovsdpdk_vswitchd UNITS=", "systemctl() { true; }")
    done = run(tmp_path, *before, "contain machine-x.slice 0-1,6")
    assert done.returncode == 0, done.stderr
    command = json.loads(path.read_text())["command"]
    assert (
        command
        == "taskset -c 0-1,6 /usr/sbin/ovs-vswitchd unix:/run/openvswitch/db.sock --mlockall"
    )
    assert (tmp_path / "state/pending/switch").exists(), "it begins anew for that"
    assert run(tmp_path, *before, "contain machine-x.slice 0-1,6").stdout.startswith("same ")
    run(tmp_path, *before, "contain machine-x.slice 0-2")
    assert json.loads(path.read_text())["command"].startswith(
        "taskset -c 0-2 /usr/sbin/ovs-vswitchd "
    )
    assert (tmp_path / f"state/1/files{path}").read_text() == SWITCH_CONFIG


def test_a_switch_begins_anew_where_its_group_is_new(tmp_path: Path) -> None:
    run(tmp_path, "V=openvswitch_vswitchd UNITS=", "systemctl() { false; }", "contain a.slice 0")
    assert (tmp_path / "state/pending/switch").exists()


def test_a_switch_of_the_hosts_own_is_not_contained(tmp_path: Path) -> None:
    done = run(tmp_path, "V= UNITS=", "systemctl() { false; }", "contain a.slice 0")
    assert (done.returncode, done.stdout) == (0, "")
    assert not (tmp_path / "state/pending/switch").exists()


def test_a_pool_that_the_kernel_could_not_fill_ends_it_before_the_switch(tmp_path: Path) -> None:
    pool = tmp_path / "sys/devices/system/node/node0/hugepages/hugepages-1048576kB"
    pool.mkdir(parents=True)
    (pool / "nr_hugepages").write_text("1\n")
    asked = (f"R={tmp_path}", "pages 0:1048576:1", "say on", "pages 0:1048576:2", "say never")
    done = run(tmp_path, *asked)
    assert done.returncode == 3
    assert done.stdout.startswith("on\nfailed: node 0 has 1 huge pages of 1024 MiB, planned are 2")


def test_what_watches_a_container_does_not_keep_the_lock(tmp_path: Path) -> None:
    """Podman's conmon lives as long as its container, with every file that it was given."""
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\n[ $1 = restart ] && (sleep 300 >/dev/null 2>&1 &)\necho true\n")
    engine.chmod(0o755)
    where = (f"E={engine} N='box running'", "systemctl() { false; }", "alive() { echo 1; }")
    done = run(tmp_path, *where, "restart box")
    assert "restarted box" in done.stdout, done.stdout + done.stderr
    free = subprocess.run(["flock", "-n", tmp_path / "state/lock", "true"], check=False)
    assert free.returncode == 0


def test_what_is_changed_twice_in_a_run_is_kept_as_it_was(tmp_path: Path, theirs: Path) -> None:
    """Options of old are taken out first, then ours are merged in: both in Kolla's one file."""
    line = f"merge {theirs} 644 nova <<'END'\n{encoded(OURS)}\nEND"
    done = run(tmp_path, "retire", line)
    assert done.returncode == 0, done.stderr
    assert "cpu_dedicated_set = 2-4" in theirs.read_text()
    assert (tmp_path / f"state/1/files{theirs}").read_text() == THEIRS
    assert (tmp_path / "state/1/list").read_text() == f"had {theirs}\n"


def test_pages_of_a_size_that_is_not_there_are_not_taken_for_filled(tmp_path: Path) -> None:
    (tmp_path / "sys/devices/system/node/node0/hugepages").mkdir(parents=True)
    done = run(tmp_path, f"R={tmp_path}", "pages 0:1048576:1", "say never")
    assert done.returncode == 3
    assert done.stdout.startswith("failed: pages of 1024 MiB are not known here")


def test_pages_of_a_kernel_that_knows_no_nodes_are_counted(tmp_path: Path) -> None:
    pool = tmp_path / "sys/kernel/mm/hugepages/hugepages-2048kB"
    pool.mkdir(parents=True)
    (pool / "nr_hugepages").write_text("7\n")
    assert run(tmp_path, f"R={tmp_path}", "pages 0:2048:7", "say on").stdout == "on\n"
    assert run(tmp_path, f"R={tmp_path}", "pages 0:2048:8").returncode == 3


def test_what_cannot_be_prepared_whole_is_not_put(tmp_path: Path, theirs: Path) -> None:
    full = "mktemp() { echo /dev/full; }"
    done = run(tmp_path, full, f"put {theirs} 640 boot <<'END'\n{encoded(OURS)}\nEND", "say never")
    assert done.returncode == 3
    assert "cannot be prepared" in done.stdout
    assert theirs.read_text() == THEIRS
