"""What can be read of a lab's hypervisor without changing it: Open vSwitch, daemons, routes."""

from collections.abc import Sequence
from pathlib import Path

from isthmus import errors
from isthmus.facts.ovsdb import Row, Select, parse_answer, render_transaction
from isthmus.lab.plan import LabPlan
from isthmus.lab.protocols import Tools

#: How long a daemon may take to answer; seconds. One that is stopped never does.
ANSWER_S = 3
#: Signal by which `--timeout` of Open vSwitch's tools ends them (lib/timeval.c).
_ALARM = 14
#: What is read of a file and of a log; bytes.
_MOST_BYTES = 256 * 1024
#: What daemons are called in a lab.
_SERVICES = {"ovs-vswitchd": "vswitchd", "ovn-controller": "controller"}


class HypervisorReader:
    """One hypervisor of a lab, through its namespace and its daemons' sockets."""

    def __init__(self, plan: LabPlan, tools: Tools, name: str) -> None:
        """Bind it.

        Raises:
            NotFound: the lab has no such hypervisor.
        """
        host = plan.get_hypervisor(name)
        self._name, self._netns, self._logs = name, host.netns, plan.log_dir
        self._home = plan.host_dir(host)
        self._run = tools.run

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        """Return rows of Open vSwitch's own database.

        Raises:
            StepFailed: its server does not answer.
        """
        transaction = render_transaction("Open_vSwitch", selects)
        argv = ["ovsdb-client", f"--timeout={ANSWER_S}", "transact", f"unix:{self._home}/db.sock"]
        return parse_answer(self._run([*argv, transaction]).stdout, selects)

    def ask_daemon(self, daemon: str, *words: str) -> str:
        """Return what a daemon says to a command of its own.

        Raises:
            NotFound: it does not run.
            TimedOut: it runs, and does not answer.
        """
        return self._ask(["ovs-appctl", f"--timeout={ANSWER_S}", "-t", self._socket(daemon)], words)

    def read_file(self, path: str) -> str:
        """Return the beginning of a file, as it is in the hypervisor's namespace.

        Raises:
            NotFound: there is none.
        """
        done = self._run(["head", "-c", str(_MOST_BYTES), path], netns=self._netns, check=False,
                         timeout_s=ANSWER_S)  # fmt: skip
        if done.exit_code:
            raise errors.NotFound(done.stderr.strip()[:200])
        return done.stdout

    def read_log(self, daemon: str) -> list[str]:
        """Return the last lines of a daemon's log.

        Raises:
            NotFound: it has none there.
        """
        path = self._logs / f"{self._name}.{_SERVICES.get(daemon, daemon)}.log"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _MOST_BYTES))
                return file.read().decode(errors="replace").splitlines()
        except OSError as error:
            raise errors.NotFound(f"{daemon} has no log in {self._logs}") from error

    def list_flows(self, match: str, bridge: str = "") -> list[str]:
        """List the flows of a bridge, the integration bridge, that have certain fields.

        Raises:
            TimedOut: ovs-vswitchd does not answer.
            NotFound: it does not run.
        """
        socket = f"unix:{self._home}/{bridge or 'br-int'}.mgmt"
        said = self._ask(
            ["ovs-ofctl", f"--timeout={ANSWER_S}", "-O", "OpenFlow15", "dump-flows", socket],
            [match],
        )
        return [line.strip() for line in said.splitlines() if "actions=" in line]

    def run_ip(self, *words: str) -> str:
        """Return what `ip` says in the hypervisor's namespace, as JSON.

        Raises:
            StepFailed: it failed.
        """
        return self._run(["ip", "-j", *words], netns=self._netns, timeout_s=ANSWER_S).stdout

    def _socket(self, daemon: str) -> str:
        if daemon == "ovs-vswitchd":
            return str(self._home / "vswitchd.ctl")
        found = sorted(self._home.glob(f"{daemon}.*.ctl"), key=_modified)
        if not found:
            raise errors.NotFound(f"{daemon} has no control socket in {self._home}")
        return str(found[-1])

    def _ask(self, argv: list[str], words: Sequence[str]) -> str:
        done = self._run([*argv, *words], check=False, timeout_s=ANSWER_S * 3)
        if done.exit_code in {-_ALARM, 128 + _ALARM}:
            raise errors.TimedOut(f"no answer within {ANSWER_S} s to {' '.join(words)}")
        if done.exit_code != 0:
            raise errors.NotFound((done.stderr or done.stdout).strip()[:200])
        return done.stdout


def _modified(path: Path) -> float:
    return path.stat().st_mtime
