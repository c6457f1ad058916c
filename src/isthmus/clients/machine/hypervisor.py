"""A hypervisor that is read over ssh: Open vSwitch, its daemons, and routes; nothing is changed.

The tools are those of the hypervisor itself. Where Open vSwitch runs in containers (Kolla, TripleO)
they are called in the container of the daemon that they ask.
"""

import atexit
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from isthmus import errors
from isthmus.clients.machine.host import open_host
from isthmus.facts.ovsdb import Row, Select, parse_answer, render_transaction
from isthmus.facts.protocols import HostClient, Output
from isthmus.facts.script import render_functions
from isthmus.model.host.nfv_layout import Layout

#: How long a daemon may take to answer; seconds. One that is stopped never does.
ANSWER_S = 3
#: Signal by which `--timeout` of Open vSwitch's tools ends them (lib/timeval.c), as a shell has it.
_TIMED_OUT = 128 + 14
#: Exit codes of a shell: the program may not be run, and is not there (POSIX, 2.8.2).
_NO_PROGRAM = (126, 127)
#: Ours, for a user who may not do it; below those that a shell uses for itself.
_NOT_ROOT = 77
#: For the connection, and for what the container's engine takes to say what runs; seconds.
_AROUND_S = 12.0
#: Seconds for which a connection waits for the next question. A login takes as long as ten answers.
_KEPT_S = 15
#: What is read of a file and of a log; bytes.
_MOST_BYTES = 256 * 1024
#: Where daemons write their logs: packages of distributions, and Kolla. Journals come after these.
_LOGS = {
    "ovs-vswitchd": ("openvswitch/ovs-vswitchd.log", "kolla/openvswitch/ovs-vswitchd.log"),
    "ovn-controller": ("ovn/ovn-controller.log", "kolla/openvswitch/ovn-controller.log",
                       "kolla/ovn/ovn-controller.log"),
    "neutron-ovn-metadata-agent": ("neutron/neutron-ovn-metadata-agent.log",
                                   "neutron/ovn-metadata-agent.log",
                                   "kolla/neutron/neutron-ovn-metadata-agent.log"),
}  # fmt: skip
#: What stands for the hypervisor's name in a target, as in ssh_config(5).
NAME = "%h"

# What follows is run by root, as all sockets of Open vSwitch are root's. `find_layout` says in X
# what runs a command in the container of ovs-vswitchd; the engine is E, the containers are N.
# 255, by which podman says that a container does not run, is what ssh says of itself.
_HEAD = """find_layout
C=; case "$N" in *ovn_controller*) C="$E exec -u 0 ovn_controller" ;; esac
"""
_TAIL = """
r=$?; [ "$r" != 255 ] || r=125; exit "$r"
"""
_AS_ROOT = """if [ "$(id -u)" = 0 ]; then exec sh -c "$B"; fi
sudo -n true 2>/dev/null || exit {not_root}
exec sudo -n sh -c "$B"
"""


@dataclass(frozen=True, slots=True)
class SshTargets:
    """Which hypervisors are read over ssh, and as whom."""

    named: Mapping[str, str] = field(default_factory=dict)  #: hypervisor -> [user@]host[:port]
    others: str = ""  #: for those that are not named, `%h` for the name; empty: they are not read
    identity: str | None = None  #: a private key's file
    options: Sequence[str] = ()  #: of ssh

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.named or self.others)

    def find(self, hypervisor: str) -> str | None:
        """Return the target of a hypervisor; None where it is not read over ssh."""
        if hypervisor in self.named:
            return self.named[hypervisor].replace(NAME, hypervisor)
        return self.others.replace(NAME, hypervisor) or None


class SshHypervisors:
    """Opens hypervisors; a connection to each is kept until it has not been used for a while."""

    def __init__(self, targets: SshTargets) -> None:
        """Bind it; nobody is called."""
        self._targets = targets
        #: Where ssh keeps the sockets of its connections. It ends by itself, also without them.
        self._folder = ""

    def find(self, hypervisor: str) -> "SshHypervisor | None":
        """Return one; None where it is not to be read over ssh.

        Raises:
            Invalid: its name, or the target that was given for it, is none of a host.
        """
        target = self._targets.find(hypervisor)
        if target is None:
            return None
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="isthmus-ssh-")
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        kept = (
            "ControlMaster=auto",
            f"ControlPath={self._folder}/%C",
            f"ControlPersist={_KEPT_S}",
        )
        host = open_host(
            target,
            identity=self._targets.identity,
            options=(*self._targets.options, *kept),
        )
        return SshHypervisor(host)


class SshHypervisor:
    """One hypervisor."""

    def __init__(self, host: HostClient) -> None:
        """Bind it."""
        self._host = host

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        """Return rows of Open vSwitch's own database.

        Raises:
            Unreachable, TimedOut: the hypervisor, or the database, did not answer.
            StepFailed: it refused.
            Unsupported: the user may not read it, or its tools are not there.
        """
        transaction = render_transaction("Open_vSwitch", selects)
        words = ["ovsdb-client", f"--timeout={ANSWER_S}", "transact", transaction]
        done = self._run(f"$X {shlex.join(words)}", "ovsdb-client")
        if done.exit_code:
            raise errors.StepFailed(f"Open vSwitch's database refused: {_say(done)}")
        return parse_answer(done.stdout, selects)

    def ask_daemon(self, daemon: str, *words: str) -> str:
        """Return what a daemon says to a command of its own.

        Raises:
            NotFound: it does not run.
            TimedOut: it runs, and does not answer.
            Unreachable: the hypervisor did not answer.
            Unsupported: the user may not ask, or the tools are not there.
        """
        tool, around = ("ovn-appctl", "$C") if daemon.startswith("ovn-") else ("ovs-appctl", "$X")
        argv = [tool, f"--timeout={ANSWER_S}", "-t", daemon, *words]
        return self._ask(f"{around} {shlex.join(argv)}", tool, words)

    def read_file(self, path: str) -> str:
        """Return the beginning of a file.

        Raises:
            NotFound: there is none.
            Unreachable: the hypervisor did not answer.
            Unsupported: the user may not read it.
        """
        done = self._run(f"$X head -c {_MOST_BYTES} {shlex.quote(path)}", "head")
        if done.exit_code:
            raise errors.NotFound(_say(done))
        return done.stdout

    def read_log(self, daemon: str) -> list[str]:
        """Return the last lines of a daemon's log, or of its journal.

        Raises:
            NotFound: it has none there.
            Unreachable: the hypervisor did not answer.
            Unsupported: the user may not read it.
        """
        files = " ".join(f"/var/log/{one}" for one in _LOGS.get(daemon, ()))
        unit = shlex.quote(daemon)
        done = self._run(
            f'for f in {files}; do [ -r "$f" ] && {{ tail -c {_MOST_BYTES} "$f"; exit; }}; done\n'
            f"journalctl -q -u {unit} -n 2000 -o short-iso --no-pager 2>/dev/null || true",
            "journalctl",
        )
        if done.exit_code or not done.stdout.strip():
            raise errors.NotFound(f"{daemon} has no log there")
        return done.stdout.splitlines()

    def list_flows(self, match: str, bridge: str = "") -> list[str]:
        """List the flows of a bridge, the integration bridge, that have certain fields.

        Raises:
            NotFound: ovs-vswitchd does not run.
            TimedOut: it does not answer.
            Unreachable: the hypervisor did not answer.
            Unsupported: the user may not ask, or the tools are not there.
        """
        get = f"$X ovs-vsctl --timeout={ANSWER_S} --if-exists get Open_vSwitch ."
        named = f"b=$({get} external_ids:ovn-bridge 2>/dev/null | tr -d '\"')"
        if bridge:
            named = f"b={shlex.quote(bridge)}"
        argv = ["ovs-ofctl", f"--timeout={ANSWER_S}", "-O", "OpenFlow15", "dump-flows"]
        command = f'{named}; $X {shlex.join(argv)} "${{b:-br-int}}" {shlex.quote(match)}'
        said = self._ask(command, "ovs-ofctl", [match])
        return [line.strip() for line in said.splitlines() if "actions=" in line]

    def run_ip(self, *words: str) -> str:
        """Return what `ip` says, as JSON.

        Raises:
            StepFailed: it failed.
            Unreachable, TimedOut: the hypervisor did not answer.
            Unsupported: the user may not ask.
        """
        done = self._run(shlex.join(["ip", "-j", *words]), "ip")
        if done.exit_code:
            raise errors.StepFailed(f"ip {' '.join(words)} failed: {_say(done)}")
        return done.stdout

    def _ask(self, command: str, tool: str, words: Sequence[str]) -> str:
        done = self._run(command, tool)
        if done.exit_code == _TIMED_OUT:
            raise errors.TimedOut(f"no answer within {ANSWER_S} s to {' '.join(words)}")
        if done.exit_code:
            raise errors.NotFound(_say(done))
        return done.stdout

    def _run(self, command: str, tool: str) -> Output:
        done = self._host.run_script(render_script(command), timeout_s=ANSWER_S * 2 + _AROUND_S)
        if done.exit_code == _NOT_ROOT:
            raise errors.Unsupported(
                "the login is not root and may not use sudo without a password: Open vSwitch "
                "answers root alone"
            )
        if done.exit_code in _NO_PROGRAM:
            raise errors.Unsupported(f"{tool} cannot be run there: {_say(done)}")
        return done


def render_script(command: str) -> str:
    """Write the script that runs a command as root, where Open vSwitch's tools are.

    Args:
        command: of a shell; `$X` before a tool of Open vSwitch's, `$C` before one of OVN's.
    """
    body = f"{render_functions(layout=Layout.PLAIN)}\n{_HEAD}{command}{_TAIL}"
    return f"B={shlex.quote(body)}\n{_AS_ROOT.format(not_root=_NOT_ROOT)}"


def parse_targets(
    texts: Sequence[str], *, identity: str | None = None, options: Sequence[str] = ()
) -> SshTargets:
    """Read `[HYPERVISOR=][user@]host[:port]`, where `%h` is the hypervisor's name.

    Raises:
        Invalid: one has another form, or two are for the same hypervisors.
    """
    named: dict[str, str] = {}
    for text in texts:
        name, equals, target = text.rpartition("=")
        if not target or (equals and not name) or (not equals and NAME not in target):
            raise errors.Invalid(
                f"--ssh {text!r}: it is HYPERVISOR=[user@]host[:port], or for all hypervisors "
                f"[user@]host[:port] with {NAME} for the name, such as root@{NAME}"
            )
        open_host(target.replace(NAME, "h"))
        if named.setdefault(name, target) != target:
            raise errors.Invalid(f"--ssh: two targets for {name or 'all hypervisors'}")
    others = named.pop("", "")
    return SshTargets(named, others, identity, tuple(options))


def _say(done: Output) -> str:
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1][:200] if said else f"exit code {done.exit_code}"
