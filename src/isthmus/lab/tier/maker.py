"""Makes the programs of one place of the lab: their commands, environment and logs. Pure."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from isthmus.lab.plan import MEMCACHED_PORT, LabPlan
from isthmus.lab.process.program import Program
from isthmus.lab.process.zygote import Birth
from isthmus.model.topology import Tier

#: What makes both fit for SQLite; our plugins do it themselves, stock Neutron and Keystone do not.
_SQLITE = {
    "neutron": "isthmus.neutron.db.sqlite:install",
    "keystone": "isthmus.neutron.db.sqlite:install_for_keystone",
}
_MEMCACHED_MIB = 16
#: Every process of the lab carries it, so that `down` knows its own even without a record.
MARKER = "ISTHMUS_LAB"


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the programs of one place."""

    plan: LabPlan
    place: str
    netns: str
    home: Path

    def program(self, service: str, command: str, *words: str, socket: str = "") -> Program:
        """Return a program with a command of its own."""
        name = f"{self.place}.{service}"
        return Program(
            name=name,
            netns=self.netns,
            log=self.plan.log_dir / f"{name}.log",
            argv=(command, *words),
            socket=socket,
            env=self._env(),
        )

    def memcached(self) -> Program:
        """Return the program of the cache of checked tokens."""
        words = ["-u", "root", "-l", "127.0.0.1", "-p", str(MEMCACHED_PORT), "-t", "1"]
        return self.program("memcached", "memcached", *words, "-m", str(_MEMCACHED_MIB))

    def ovsdb(self, name: str, *remotes: str) -> Program:
        """Return the program of a database of OVN."""
        sock = f"{self.home}/{name}.sock"
        return self.program(
            name,
            "ovsdb-server",
            f"--remote=punix:{sock}",
            *(f"--remote={remote}" for remote in remotes),
            f"--unixctl={self.home}/{name}.ctl",
            str(self.home / f"{name}.db"),
            socket=sock,
        )

    def northd(self) -> Program:
        """Return the program that turns northbound rows into southbound ones."""
        return self.program(
            "northd",
            "ovn-northd",
            f"--ovnnb-db=unix:{self.home}/nb.sock",
            f"--ovnsb-db=unix:{self.home}/sb.sock",
            f"--unixctl={self.home}/northd.ctl",
        )

    def answerer(self, vswitchd: str) -> Program:
        """Return the program that answers for Open vSwitch; the socket is ovs-vswitchd's."""
        script = resources.files("isthmus.services") / "answer_switch.sh"
        return self.program("answer", "env", f"VSWITCHD={vswitchd}", "sh", str(script))

    def outside_host(self, tier: Tier) -> list[Program]:
        """Return the program of the hosts outside a site, if it has an outside."""
        if tier.outside is None:
            return []
        words = ("-m", "isthmus.lab.network.outside_host", f"{tier.name} outside")
        program = self.program("outside", sys.executable, *words)
        return [replace(program, netns=tier.outside.netns)]

    def api(self, service: str, conf: Path, port: int, tier: Tier) -> Program:
        """Return the program of Keystone's or Neutron's API.

        Args:
            service: which of them.
            conf: its configuration file.
            port: where it answers.
            tier: whose it is.
        """
        name = f"{self.place}.{service}"
        birth = self.birth(
            name,
            env={f"OS_{service.upper()}_CONFIG_FILES": str(conf)},
            argv=(f"{service}-api",),
            prepare=(_SQLITE[service],),
            application=f"{service}.wsgi.api:application",
            bind="0.0.0.0",  # noqa: S104  (all of the tier's own namespace)
            port=port,
        )
        return self.born(birth, url=f"http://{tier.management_address}:{port}/")

    def xjob(self, *confs: Path) -> Program:
        """Return the program that delivers to the sites."""
        words = [word for conf in confs for word in ("--config-file", str(conf))]
        name = f"{self.place}.xjob"
        argv = ("isthmus-xjob", *words)
        return self.born(self.birth(name, argv=argv, main="isthmus.worker.main:run"))

    def maintenance(self, conf: Path) -> Program:
        """Return the program of Neutron's own worker that repairs OVN rows."""
        name = f"{self.place}.maintenance"
        return self.born(
            self.birth(
                name,
                argv=("neutron-ovn-maintenance-worker", "--config-file", str(conf)),
                prepare=(_SQLITE["neutron"],),
                main="neutron.cmd.server:main_ovn_maintenance",
            )
        )

    def birth(self, name: str, *, env: Mapping[str, str] | None = None, **fields: object) -> Birth:
        """Return how the zygote forks a service of this place."""
        service = name.rpartition(".")[2]
        scratch = str(self.home / f"tmp-{service}")
        # Neutron counts its API processes, to share the work on OVN's events among them.
        always = {**self._env(), "TMPDIR": scratch, "ASGI_WORKERS": "1"}
        return Birth(
            name=name,
            netns=f"/run/netns/{self.netns}",
            log=str(self.plan.log_dir / f"{name}.log"),
            env={**always, **(env or {})},
            **fields,  # type: ignore[arg-type]
        )

    def born(self, birth: Birth, url: str = "") -> Program:
        """Return the program of a service that the zygote forks."""
        return Program(
            name=birth.name,
            netns=self.netns,
            log=Path(birth.log),
            birth=birth,
            url=url,
            empties=birth.env["TMPDIR"],
        )

    def _env(self) -> dict[str, str]:
        bin_dir = Path(sys.executable).parent
        return {
            MARKER: str(self.plan.folder),
            "VIRTUAL_ENV": str(bin_dir.parent),
            # Daemons of one place find each other's sockets here, and nobody else's.
            "OVS_RUNDIR": str(self.home),
            "OVN_RUNDIR": str(self.home),
        }
