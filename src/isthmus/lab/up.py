"""Bring a lab up: the order in which things are made, and who waits for whom.

Imports are most of it. So the zygote starts first and imports on one core, while wires, databases
and hypervisors are made on the other; then it forks every API at once.
"""

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus import errors
from isthmus.lab.compute.bring import Compute, ComputeRequest
from isthmus.lab.compute.services import People
from isthmus.lab.dashboard.bring import make_static, plan_dashboard
from isthmus.lab.dashboard.horizon import Horizon
from isthmus.lab.network.wan import Wan
from isthmus.lab.network.wire import fabric, outside, underlay
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.process.program import Program
from isthmus.lab.process.start import start, wait_until_up
from isthmus.lab.protocols import Api, Installed, Reporter, Tools, Zygote
from isthmus.lab.tier import clouds, mariadb, services
from isthmus.lab.tier.maker import MARKER
from isthmus.lab.tier.template import (
    NEUTRON_DB,
    Templates,
    copy_database,
    copy_keystone,
    read_users,
)
from isthmus.model.host.process import ProcessId
from isthmus.model.topology import Hypervisor, Tier
from isthmus.services import identity, render
from isthmus.services.render import Flavour

#: Longest wait for a hypervisor to announce itself, in seconds.
CHASSIS_TIMEOUT_S = 60
#: Longest wait for central to take a site, in seconds.
JOIN_TIMEOUT_S = 120
_POLL_S = 0.1
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a lab has only where a person asked for it."""

    compute: ComputeRequest | None = None  #: what the sites' Nova is to be
    horizon: Horizon | None = None  #: serves a dashboard of central
    mariadb: bool = False  #: whether each tier's Neutron has a MariaDB of its own


class Up:
    """One `lab up`."""

    def __init__(
        self,
        plan: LabPlan,
        *,
        tools: Tools,
        templates: Templates,
        installed: Installed,
        reporter: Reporter,
        stock: bool = False,
        extras: Extras | None = None,
    ) -> None:
        """Bind it; nothing is made yet.

        Args:
            plan: what to make.
            tools: what to make it with.
            templates: databases.
            installed: the machine's files.
            reporter: hears of the progress.
            stock: whether the sites are plain ML2/OVN, each on its own.
            extras: what not every lab has.
        """
        self._plan = plan
        self._tools = tools
        self._templates = templates
        self._installed = installed
        self._reporter = reporter
        self._stock = stock
        extras = extras or Extras()
        self._horizon, compute = extras.horizon, extras.compute
        self._mariadb = extras.mariadb
        self._metadata = compute is not None and compute.metadata
        self._ledger = Ledger(plan.folder)
        self._setting: services.Setting
        self._compute = compute and Compute(
            plan,
            compute,
            tools=tools,
            templates=templates,
            ledger=self._ledger,
            phase=self._phase,
        )

    def run(self) -> None:
        """Make it all.

        Raises:
            IsthmusError: something could not be made or did not come up; the ledger names what
                is there.
        """
        plan = self._plan
        plan.log_dir.mkdir(parents=True, exist_ok=True)
        env = {MARKER: str(plan.folder)}
        zygote = self._tools.processes.open_zygote(
            services.PRELOAD, plan.log_dir / "zygote.log", env
        )
        try:
            if self._compute:
                self._compute.begin()
            setting = self._setting = self._databases()
            self._underlay()
            tiers = {str(tier.name): services.plan_tier(setting, tier) for tier in plan.tiers}
            if self._horizon is not None:
                self._add_dashboard(tiers, self._horizon)
            self._write_files(setting, tiers)
            with self._phase("Open vSwitch and OVN"):
                self._start_all([program for t in tiers.values() for program in t.early])
                with ThreadPoolExecutor(max_workers=4) as pool:
                    list(pool.map(self._hypervisor, plan.hypervisors))
            if self._compute:
                self._compute.prepare(People(passwords=setting.passwords, ids=setting.users))
            with self._phase("imports of Keystone and Neutron"):
                middle = [program for tier in tiers.values() for program in tier.middle]
                running = [(program, self._begin(program, zygote)) for program in middle]
            with self._phase("APIs"):
                for program, process in running:
                    wait_until_up(program, process, self._tools)
            with self._phase("join"):
                self._join()
                self._await_chassis()
            for tier in tiers.values():
                for program in tier.late:
                    if not (self._stock and program.name.endswith(".xjob")):
                        self._begin(program, zygote)
            if self._compute:
                self._compute.serve()
            self._delays()
            self._ledger.add("whole")
        finally:
            zygote.close()
            if self._compute:
                self._compute.close()

    def _databases(self) -> services.Setting:
        plan = self._plan
        with self._phase("databases"):
            compute = self._compute is not None
            sites = [tier.name for tier in plan.sites]
            names = identity.user_names(sites, compute=compute)
            passwords = self._templates.passwords(names)
            endpoints = services.plan_endpoints(plan, compute=compute)
            people = identity.plan_identity(sites, endpoints, passwords, compute=compute)
            keystone_dir = plan.folder / "keystone"
            with ThreadPoolExecutor(max_workers=2) as pool:
                keystone = pool.submit(self._templates.keystone, people)
                neutron = pool.submit(self._neutron).result()
                hosts = services.list_management_hosts(plan)
                copy_keystone(keystone.result(), keystone_dir, hosts)
            for tier in plan.tiers:
                self._copy_neutron(neutron, plan.tier_dir(tier))
        flavour = {str(tier.name): self._flavour(tier) for tier in plan.tiers}
        return services.Setting(
            plan=plan,
            passwords=passwords,
            users=read_users(keystone_dir),
            keystone_dir=keystone_dir,
            paste=render.render_paste(self._installed.paste_file.read_text()),
            flavour=flavour,
            compute=compute,
            metadata=self._metadata,
            mariadb=self._mariadb,
        )

    def _neutron(self) -> Path:
        if self._mariadb:
            return mariadb.make_neutron(self._templates, self._tools)
        return self._templates.neutron()

    def _copy_neutron(self, template: Path, home: Path) -> None:
        if self._mariadb:
            home.mkdir(parents=True, exist_ok=True)
            shutil.copytree(template, home / mariadb.DATA)
        else:
            copy_database(template, home / NEUTRON_DB)

    def _add_dashboard(self, tiers: dict[str, services.TierServices], horizon: Horizon) -> None:
        with self._phase("Horizon's static files"):
            static_root = make_static(self._templates, horizon, self._tools.run)
        key = secrets.token_urlsafe(_SECRET_BYTES)
        added = plan_dashboard(self._plan, horizon, static_root=static_root, secret_key=key)
        name = str(self._plan.central.name)
        tiers[name] = replace(
            tiers[name],
            files={**tiers[name].files, **added.files},
            middle=(*tiers[name].middle, added.program),
        )

    def _flavour(self, tier: Tier) -> Flavour:
        if tier.is_central:
            return Flavour.CENTRAL
        return Flavour.STOCK if self._stock or tier.is_stock else Flavour.LOCAL

    def _underlay(self) -> None:
        plan, run = self._plan, self._tools.run
        with self._phase("underlay"):
            for netns in underlay.list_netns(plan):
                self._ledger.add("netns", name=netns)
                run(["ip", "netns", "add", netns])
            for netns, settings in underlay.render_sysctls(plan).items():
                run(["sysctl", "-qw", *settings], netns=netns)
            run(["ip", "-batch", "-"], stdin="\n".join(underlay.render_links(plan)))
            for netns, lines in underlay.render_inside(plan).items():
                run(["ip", "-batch", "-"], netns=netns, stdin="\n".join(lines))
            for netns, link in underlay.links_without_offload(plan):
                run(["ethtool", "-K", link, "tx", "off"], netns=netns)

    def _write_files(
        self, setting: services.Setting, tiers: Mapping[str, services.TierServices]
    ) -> None:
        for tier in tiers.values():
            for path, text in tier.files.items():
                _write_secret(path, text)
        _write_secret(self._plan.clouds_file, clouds.render_clouds(self._plan, setting.passwords))
        for site in self._plan.sites:
            for name in ("nb", "sb"):
                schema = self._installed.ovn_schemas / f"ovn-{name}.ovsschema"
                self._create_ovsdb(self._plan.tier_dir(site) / f"{name}.db", schema)

    def _create_ovsdb(self, file: Path, schema: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._tools.run(["ovsdb-tool", "create", file, schema])

    def _start_all(self, programs: list[Program]) -> None:
        for program in programs:
            self._begin(program)

    def _begin(self, program: Program, zygote: Zygote | None = None) -> ProcessId:
        return start(program, self._tools, self._ledger, zygote)

    def _hypervisor(self, host: Hypervisor) -> None:
        home = self._plan.host_dir(host)
        self._create_ovsdb(home / "conf.db", self._installed.ovs_schema)
        database, vswitchd, *late = services.plan_hypervisor(self._plan, host)
        self._begin(database)
        vsctl = ["ovs-vsctl", f"--db=unix:{home}/db.sock", "--timeout=30"]
        self._tools.run([*vsctl, "--no-wait", "init"])
        self._begin(vswitchd)
        site = self._plan.get_tier(host.site)
        settings = services.vswitch_settings(self._plan, host)
        self._tools.run(
            [
                *vsctl,
                *settings,
                *outside.switch_settings(site, host),
                *fabric.switch_settings(site, outside.BRIDGE),
            ]
        )
        prefix, router = site.subnet.prefixlen, site.router
        lines = [
            f"addr add {host.address}/{prefix} dev br-phys",
            "link set br-phys up",
            f"route add default via {router}",
        ]
        self._tools.run(["ip", "-batch", "-"], netns=host.netns, stdin="\n".join(lines))
        self._start_all(late)

    def _join(self) -> None:
        """Make the sites known to central."""
        if self._stock:
            return
        api = self._tools.open_api(self._plan.clouds_file, self._plan.central.name)
        for tier in self._plan.joined_sites:
            row = {
                "name": tier.name,
                "region": tier.name,
                "availability_zones": [tier.name],
                "service_user": self._setting.users[identity.site_user(tier.name)],
                "tunnel_prefixes": [str(tier.subnet)],
                "fabrics": [render.SHARED_NETWORK] if fabric.is_on(tier) else [],
            }
            insist(api, "/v2.0/sites", {"site": row})

    def _await_chassis(self) -> None:
        for tier in self._plan.sites:
            wanted = {host.name for host in tier.hypervisors}
            sock = self._plan.tier_dir(tier) / "sb.sock"

            def missing(sock: Path = sock, wanted: set[str] = wanted) -> set[str]:
                words = [f"--db=unix:{sock}", "--bare", "--columns=name", "list", "Chassis"]
                return wanted - set(self._tools.run(["ovn-sbctl", *words]).stdout.split())

            _wait(missing, f"did not announce themselves at {tier.name}'s southbound database")

    def _delays(self) -> None:
        wan = Wan(self._plan, self._tools, self._ledger)
        for tier in self._plan.sites:
            if tier.wan_rtt_ms:
                wan.delay(tier, tier.wan_rtt_ms)

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._reporter.begin(name)
        began = time.monotonic()
        yield
        self._reporter.end(name, time.monotonic() - began)


def _wait(missing: Callable[[], set[str]], what: str) -> None:
    deadline = time.monotonic() + CHASSIS_TIMEOUT_S
    while left := missing():
        if time.monotonic() > deadline:
            raise errors.TimedOut(f"{', '.join(sorted(left))} {what} in {CHASSIS_TIMEOUT_S} s")
        time.sleep(_POLL_S)


def insist(
    api: Api, path: str, body: Mapping[str, object], timeout_s: float = JOIN_TIMEOUT_S
) -> None:
    """Create something of an API that has only just come up, trying again until it is there.

    On a busy machine its first calls find a Keystone that is still loading: the middleware waits
    ten seconds for it, and the answer is 500. A call whose answer was lost may have made it.

    Args:
        api: the API.
        path: of the collection.
        body: of the request.
        timeout_s: seconds to try for.

    Raises:
        IsthmusError: it is refused, or the last call failed when the time was over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            api.call("POST", path, body=body)
        except errors.Exists:
            return
        except (errors.Transient, errors.Broken):
            if time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_POLL_S)


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
