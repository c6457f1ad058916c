"""A hypervisor read by a script: what is run there, and what each way to fail means."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.clients.machine.hypervisor import (
    SshHypervisor,
    SshHypervisors,
    SshTargets,
    parse_targets,
    render_script,
)
from isthmus.clients.machine.shell import Output
from isthmus.facts.ovsdb import Select


@dataclass
class Machine:
    """A machine whose programs are the scripts in a folder."""

    folder: Path
    user: int = 0
    etc: Path | None = None  #: what it has as /etc, where that is told
    name: str = "machine"

    def program(self, name: str, text: str) -> None:
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def run_script(self, script: str, *, timeout_s: float = 60.0) -> Output:
        self.program("id", f"echo {self.user}")
        done = subprocess.run(
            ["sh", "-s"] if self.etc is None else self._elsewhere(),
            input=script,
            env={"PATH": f"{self.folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Output(done.returncode, done.stdout, done.stderr)

    def _elsewhere(self) -> list[str]:
        mount = f"mount --bind {self.etc} /etc && exec sh -s"
        return ["unshare", "--mount", "sh", "-c", mount]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for engine in ("podman", "docker"):  # whatever this machine has
        made.program(engine, "exit 1")
    return made


def test_a_daemon_is_asked_with_its_own_tool(machine: Machine) -> None:
    machine.program("ovs-appctl", 'echo "ovs $*"')
    machine.program("ovn-appctl", 'echo "ovn $*"')
    read = SshHypervisor(machine)
    assert read.ask_daemon("ovs-vswitchd", "dpctl/ct-get-nconns") == (
        "ovs --timeout=3 -t ovs-vswitchd dpctl/ct-get-nconns\n"
    )
    assert read.ask_daemon("ovn-controller", "connection-status") == (
        "ovn --timeout=3 -t ovn-controller connection-status\n"
    )


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        ("kill -ALRM $$", errors.TimedOut),
        ("echo 'cannot connect to ovs-vswitchd.1.ctl' >&2; exit 1", errors.NotFound),
        ("exit 127", errors.Unsupported),
        ("exit 255", errors.NotFound),  # podman, of a container that does not run
    ],
)
def test_hung_dead_and_not_there_are_told_apart(
    machine: Machine, ends: str, error: type[errors.IsthmusError]
) -> None:
    machine.program("ovs-appctl", ends)
    with pytest.raises(error):
        SshHypervisor(machine).ask_daemon("ovs-vswitchd", "version")


def test_a_program_that_is_missing_is_no_dead_daemon(machine: Machine) -> None:
    machine.program("id", "echo 0")
    done = machine.run_script(render_script("no-such-program-anywhere"))
    assert done.exit_code == 127


def test_flows_are_those_of_the_bridge_that_ovn_uses(machine: Machine) -> None:
    machine.program("ovs-vsctl", "echo '\"br-ours\"'")
    machine.program("ovs-ofctl", 'echo "OFPST_FLOW reply:"; echo " cookie=0x1, actions=$*"')
    read = SshHypervisor(machine)
    (flow,) = read.list_flows("metadata=0x2,reg15=0x16")
    assert flow.endswith("dump-flows br-ours metadata=0x2,reg15=0x16")
    machine.program("ovs-vsctl", "exit 0")  # the default is said by nobody
    assert read.list_flows("reg15=0x1")[0].endswith("dump-flows br-int reg15=0x1")


def test_flows_of_a_bridge_that_is_named(machine: Machine) -> None:
    machine.program("ovs-vsctl", "echo other")
    machine.program("ovs-ofctl", 'echo " cookie=0x1, actions=$*"')
    assert SshHypervisor(machine).list_flows("", "br-ex")[0].endswith("dump-flows br-ex")


def test_a_file_is_read_from_its_beginning(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "it's here").write_text("Udp: 1\n")
    read = SshHypervisor(machine)
    assert read.read_file(str(tmp_path / "it's here")) == "Udp: 1\n"
    with pytest.raises(errors.NotFound):
        read.read_file(str(tmp_path / "none"))


def test_a_log_is_read_from_the_journal_where_no_file_is(machine: Machine) -> None:
    machine.program("journalctl", 'echo "one $*"; echo two')
    one, two = SshHypervisor(machine).read_log("some-daemon")
    assert "-u some-daemon" in one
    assert two == "two"
    machine.program("journalctl", "exit 1")
    with pytest.raises(errors.NotFound):
        SshHypervisor(machine).read_log("some-daemon")


def test_rows_come_from_the_database_of_the_host(machine: Machine) -> None:
    machine.program("ovsdb-client", '[ "$2" = transact ] && echo \'[{"rows":[{"name":"tap1"}]}]\'')
    select = Select("Interface", columns=("name",))
    assert SshHypervisor(machine).select([select]) == [[{"name": "tap1"}]]
    machine.program("ovsdb-client", "echo 'failed to connect' >&2; exit 1")
    with pytest.raises(errors.StepFailed, match="failed to connect"):
        SshHypervisor(machine).select([select])


def test_what_is_asked_for_is_no_piece_of_shell(machine: Machine) -> None:
    machine.program("ovs-appctl", 'echo "$4"')
    left = machine.folder / "left"
    said = SshHypervisor(machine).ask_daemon("ovs-vswitchd", f"'; touch {left}; '")
    assert said == f"'; touch {left}; '\n"
    assert not left.exists()


@pytest.mark.root
@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_tools_are_called_in_the_containers_of_their_daemons(
    machine: Machine, engine: str, tmp_path: Path
) -> None:
    machine.program(
        engine,
        '[ "$1" = ps ] && { echo "openvswitch_vswitchd running"; echo "ovn_controller running"; '
        'exit; }\necho "$*"',
    )
    machine.etc = tmp_path / "etc"
    (machine.etc / "kolla").mkdir(parents=True)  # gather.sh asks engines where there are containers
    read = SshHypervisor(machine)
    assert read.ask_daemon("ovn-controller", "connection-status") == (
        "exec -u 0 ovn_controller ovn-appctl --timeout=3 -t ovn-controller connection-status\n"
    )
    assert read.ask_daemon("ovs-vswitchd", "version") == (
        "exec -u 0 openvswitch_vswitchd ovs-appctl --timeout=3 -t ovs-vswitchd version\n"
    )


def test_a_user_who_is_not_root_uses_sudo(machine: Machine) -> None:
    machine.user = 1000
    machine.program("ovs-appctl", 'echo "asked"')
    machine.program("sudo", "exit 1")
    with pytest.raises(errors.Unsupported, match="sudo"):
        SshHypervisor(machine).ask_daemon("ovs-vswitchd", "version")
    machine.program("sudo", 'shift; [ "$1" = true ] || exec "$@"')
    assert SshHypervisor(machine).ask_daemon("ovs-vswitchd", "version") == "asked\n"


def test_targets_are_read() -> None:
    found = parse_targets(["cmp1=admin@10.0.0.5:2222", "root@%h.example"], options=["A=b"])
    assert found == SshTargets({"cmp1": "admin@10.0.0.5:2222"}, "root@%h.example", None, ("A=b",))
    assert found.find("cmp1") == "admin@10.0.0.5:2222"
    assert found.find("cmp2") == "root@cmp2.example"
    assert found
    only = parse_targets(["cmp1=local"])
    assert (only.find("cmp1"), only.find("cmp2")) == ("local", None)
    assert not parse_targets([])


@pytest.mark.parametrize(
    "texts",
    [
        ["root@10.0.0.5"],
        ["=root@x"],
        ["cmp1="],
        [""],
        ["cmp1=a b"],
        ["%h", "root@%h"],
        ["h=a", "h=b"],
    ],
)
def test_targets_of_another_form_are_refused(texts: list[str]) -> None:
    with pytest.raises(errors.Invalid):
        parse_targets(texts)


def test_a_hostile_name_of_a_hypervisor_is_no_option_of_ssh() -> None:
    opened = SshHypervisors(parse_targets(["root@%h"]))
    for name in ("-oProxyCommand=touch /tmp/x", "a b", "a;b", "$(id)"):
        with pytest.raises(errors.Invalid):
            opened.find(name)
    assert SshHypervisors(SshTargets()).find("cmp1") is None
