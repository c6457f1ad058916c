"""Whoever is slow anywhere: others go on meanwhile, and in the end both tiers agree.

Hypothesis picks what is under way when a process is held at a crash point, and what else happens
until it is let go: at central, at the site, between them. Real servers on MariaDB at its default
level; `tests/property/test_federation.py` does the same with the model, far more often.
"""

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.neutron import invariants
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.delivery import SiteDelivery
from tests.neutron.local_server import LocalServer
from tests.neutron.pausing import Pause
from tests.neutron.server import ADMIN, site_user, tenant
from tests.neutron.test_central_report import born, item
from tests.neutron.wan import Wan

from isthmus.journal import crash
from isthmus.model.resource import RESOURCES
from isthmus.store.sql.tables import JOURNAL
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.timeout(3600)]


#: How long something may wait for whoever is held before that one is let go, in seconds.
MEANWHILE_S = 3.0


@dataclass
class World:
    """One project's things, and what can happen to them."""

    central: CentralServer
    site: LocalServer
    project: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: Journal rows of worlds before this one.
    before: list[str] = field(default_factory=list)
    routers: list[str] = field(default_factory=list)
    #: One for each thread: a drain is one worker's.
    deliveries: dict[int, SiteDelivery] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.user = tenant(self.project)
        self.before = [row["id"] for one in (self.site, self.central) for row in self._journal(one)]
        make = self.central.create
        self.network = make("network", self.user, name="n")["id"]
        cidr = {"cidr": "10.0.0.0/24", "ip_version": 4}
        self.subnet = make("subnet", self.user, network_id=self.network, **cidr)["id"]
        self.group = make("security_group", self.user, name="g")["id"]
        self.addresses = make("address_group", self.user, name="a", addresses=["192.0.2.0/24"])[
            "id"
        ]
        self.guest = make("port", self.user, network_id=self.network)["id"]

    def first_use(self) -> None:
        self.site.get(f"networks/{self.network}", self.user)

    def born_at_site(self) -> None:
        wanted = {"network_id": self.network, "security_groups": [self.group]}
        self.site.try_create("port", self.user, device_owner="compute:nova", **wanted)

    def many_at_site(self) -> None:
        """Use the first block up, so that the next one is asked for."""
        for _ in range(12):
            self.site.try_create("port", self.user, network_id=self.network)

    def one_goes_at_site(self) -> None:
        for port in self._ports(self.site)[:1]:
            self.site.delete("port", port)

    def one_changes_at_site(self) -> None:
        for port in self._ports(self.site)[-1:]:
            self.site.update("port", port, self.user, name=uuid.uuid4().hex)

    def one_is_bound(self) -> None:
        for port in self._ports(self.site)[-1:]:
            self.site.update("port", port, ADMIN, **{"binding:host_id": "host1"})

    def guest_is_bound(self) -> None:
        self.site.update("port", self.guest, ADMIN, **{"binding:host_id": "host2"})

    def born_at_central(self) -> None:
        self.central.try_create("port", self.user, network_id=self.network)

    def one_goes_at_central(self) -> None:
        for port in self._ports(self.central)[:1]:
            self.central.call("DELETE", f"/v2.0/ports/{port}")

    def one_changes_at_central(self) -> None:
        for port in self._ports(self.central)[-1:]:
            body = {"port": {"description": uuid.uuid4().hex}}
            self.central.call("PUT", f"/v2.0/ports/{port}", body)

    def network_changes(self) -> None:
        body = {"network": {"name": uuid.uuid4().hex}}
        self.central.call("PUT", f"/v2.0/networks/{self.network}", body)

    def rule_comes(self) -> None:
        rule = {"security_group_id": self.group, "direction": "ingress", "protocol": "tcp"}
        port = uuid.uuid4().int % 60000 + 1
        remote = {"remote_address_group_id": self.addresses}
        ports = {"port_range_min": port, "port_range_max": port}
        self.central.try_create("security_group_rule", self.user, **rule, **remote, **ports)

    def rule_goes(self) -> None:
        shown = self.central.call("GET", f"/v2.0/security-groups/{self.group}").only()
        for rule in shown["security_group_rules"][-1:]:
            self.central.call("DELETE", f"/v2.0/security-group-rules/{rule['id']}")

    def subnet_comes(self) -> None:
        cidr = {"cidr": f"10.{uuid.uuid4().int % 200 + 1}.0.0/24", "ip_version": 4}
        self.central.try_create("subnet", self.user, network_id=self.network, **cidr)

    def subnet_goes(self) -> None:
        listed = self.central.call("GET", f"/v2.0/subnets?network_id={self.network}").only()
        for subnet in listed:
            if subnet["id"] != self.subnet:
                self.central.call("DELETE", f"/v2.0/subnets/{subnet['id']}")

    def recall(self) -> None:
        """Have central ask for an idle address of the site's."""
        with self.central.database() as connection:
            last = connection.scalar(
                sa.text(
                    "SELECT MAX(last) FROM isthmus_leases WHERE pool_id = :pool AND site = 'site1'"
                ),
                {"pool": self.subnet},
            )
        if last is not None:
            wanted = {"subnet_id": self.subnet, "ip_address": f"10.0.0.{int(last) % 256}"}
            self.central.try_create("port", self.user, network_id=self.network, fixed_ips=[wanted])

    def device_changes(self) -> None:
        """Say at central what a port's home alone may say, if it has one."""
        for port in self._ports(self.central)[-1:]:
            self.central.call("PUT", f"/v2.0/ports/{port}", {"port": {"device_id": "mine"}})

    def withdrawn(self) -> None:
        """Have an operator take the network away from the site, which is refused for its ports."""
        path = f"/v2.0/site-presences?network_id={self.network}&site=site1"
        for row in self.central.call("GET", path).only():
            self.central.call("DELETE", f"/v2.0/site-presences/{row['id']}")

    def second_site(self) -> None:
        """Another site uses the network, makes a port, and asks for one of central's."""
        place = {"network_id": self.network, "project_id": self.project}
        answer = self.central.try_bundle("site2", "network", self.network, project=self.project)
        leases = by_type(answer.only()["items"], "lease") if answer.status == 201 else []
        blocks = {one["kind"]: int(one["first"]) for one in leases if one["pool_id"] == self.subnet}
        keys = [int(one["first"]) for one in leases if one["kind"] == "port_key"]
        if blocks and keys:
            port = born(place, self.subnet, f"10.0.0.{blocks['subnet'] % 256}", [], keys[0])
            where = {"chassis": "chassis-2", "hostname": "host2", "encap_ip": "192.0.2.12"}
            port["isthmus:location"] |= where
            self.central.report("site2", item(port))
        self.central.try_bundle("site2", "port", self.guest, project=self.project)

    def second_site_takes_all(self) -> None:
        """The other site has carried out, or let go, whatever it was told."""
        self.central.acknowledge_all("site2")

    def router_comes(self) -> None:
        router = self.central.create("router", self.user, name="r")["id"]
        self.routers.append(router)
        self._join(router, "add")

    def router_goes(self) -> None:
        for router in self.routers[-1:]:
            self._join(router, "remove")
            self.central.call("DELETE", f"/v2.0/routers/{router}", user=self.user)

    def _join(self, router: str, how: str) -> None:
        path = f"/v2.0/routers/{router}/{how}_router_interface"
        self.central.call("PUT", path, {"subnet_id": self.subnet}, self.user)

    def carry(self) -> None:
        with contextlib.suppress(AssertionError):  # the call was refused as a whole
            self._deliver()

    def _deliver(self) -> None:
        ident = threading.get_ident()
        if ident not in self.deliveries:
            owner = f"thread-{ident}"
            self.deliveries[ident] = SiteDelivery(self.central, self.site, owner)
        self.deliveries[ident].run()

    def _ports(self, server: CentralServer | LocalServer) -> list[str]:
        query = sa.text(
            "SELECT id FROM ports WHERE network_id = :network AND device_owner NOT LIKE 'network:%'"
        )
        with server.database() as connection:
            return sorted(connection.scalars(query, {"network": self.network}))

    # The end.

    def settle(self, *, used: bool) -> None:
        """Let everything be told, what was refused as well, as it is every few minutes.

        The other site has no server here: it takes whatever it is told.

        Args:
            used: whether ports may use what central has deleted meanwhile; both tiers say so then.
        """
        for server in (self.site, self.central):
            self._retry(server, self._journal(server))

        def quiet() -> bool:
            self.second_site_takes_all()
            self._deliver()
            due = {
                server.folder: [
                    row for row in self._journal(server) if not (used and _is_of_what_is_used(row))
                ]
                for server in (self.site, self.central)
            }
            for server in (self.site, self.central):
                self._retry(server, due[server.folder])
            return not any(due.values())

        try:
            until(quiet, timeout_s=180, what="nothing is under way")
        except AssertionError as error:
            left = [row for one in (self.site, self.central) for row in self._journal(one)]
            raise AssertionError(left) from error

    def _journal(self, server: CentralServer | LocalServer) -> list[sa.RowMapping]:
        """List what is noted since this world is."""
        query = sa.select(JOURNAL).where(
            JOURNAL.c.lane.in_(("site1", "central")), JOURNAL.c.id.not_in(self.before)
        )
        with server.database() as connection:
            return list(connection.execute(query).mappings())

    @staticmethod
    def _retry(server: CentralServer | LocalServer, rows: list[sa.RowMapping]) -> None:
        mine = JOURNAL.c.id.in_([row["id"] for row in rows])
        with server.database(write=True) as connection:
            connection.execute(sa.update(JOURNAL).where(mine).values(parked=False, not_before=None))

    def _refused(self, port: str) -> set[str]:
        """List what central does not take of a port, as an operator sees it."""
        rows = self.central.call("GET", f"/v2.0/site-refusals?resource_id={port}").only()
        return {name for row in rows for name in row["attributes"].split(",")}

    def check(self) -> None:
        """See that both tiers tell the same, and that nothing is left once all is deleted."""
        self.settle(used=True)
        invariants.check(self.central, self.site)
        for port in self._ports(self.site):
            here = self.site.get(f"ports/{port}").only()
            there = self.central.call("GET", f"/v2.0/ports/{port}").only()
            compared = {"mac_address", "fixed_ips", "name", "description", "security_groups"}
            for name in compared - self._refused(port):
                assert here[name] == there[name], (name, here[name], there[name])
        here = self.site.get(f"security-groups/{self.group}")
        if here.status == 200 and self._has(self.group):
            there = self.central.call("GET", f"/v2.0/security-groups/{self.group}").only()
            assert _rules(here.only()) == _rules(there)
        for port in self._ports(self.site):
            assert self.site.delete("port", port).status in (204, 404)
        for router in self.routers:
            self._join(router, "remove")
            gone = self.central.call("DELETE", f"/v2.0/routers/{router}", user=self.user)
            assert gone.status in (204, 404), gone
        self.settle(used=False)
        for port in self._ports(self.central):
            assert self.central.call("DELETE", f"/v2.0/ports/{port}").status == 204
        gone = self.central.call("DELETE", f"/v2.0/networks/{self.network}")
        assert gone.status == 204, gone
        self.settle(used=False)
        invariants.check(self.central, self.site)
        for table, column in (
            ("networks", "id"),
            ("ports", "network_id"),
            ("subnets", "network_id"),
        ):
            assert self.network not in {row[column] for row in self.site.rows(table)}
        for table in ("isthmus_site_mappings", "isthmus_datapaths"):
            for server in (self.site, self.central):
                with server.database() as connection:
                    column = "resource_id" if table == "isthmus_site_mappings" else "network_id"
                    query = sa.text(f"SELECT 1 FROM {table} WHERE {column} = :network")
                    assert connection.execute(query, {"network": self.network}).all() == []

    def _has(self, group: str) -> bool:
        return group in {row["resource_id"] for row in self.site.rows("isthmus_site_mappings")}


def _is_of_what_is_used(row: sa.RowMapping) -> bool:
    """Tell whether a row waits, seen by everybody, for a port to give up what central deleted."""
    reason = str(row["last_error"])
    return bool(row["parked"]) and (
        reason.startswith("isthmus.refused.in_use")
        or (reason.startswith("isthmus.refused.not_found") and " any more; " in reason)
    )


def _rules(group: dict[str, Any]) -> set[str]:
    return {rule["id"] for rule in group["security_group_rules"]}


ACTIONS: tuple[Callable[[World], None], ...] = (
    World.first_use,
    World.born_at_site,
    World.many_at_site,
    World.one_goes_at_site,
    World.one_changes_at_site,
    World.one_is_bound,
    World.guest_is_bound,
    World.born_at_central,
    World.one_goes_at_central,
    World.one_changes_at_central,
    World.network_changes,
    World.rule_comes,
    World.rule_goes,
    World.subnet_comes,
    World.subnet_goes,
    World.recall,
    World.device_changes,
    World.withdrawn,
    World.second_site,
    World.second_site_takes_all,
    World.router_comes,
    World.router_goes,
    World.carry,
)
actions = st.sampled_from(ACTIONS)
#: What is done first; what is under way at the point; what happens meanwhile.
stories = st.tuples(
    st.lists(actions, max_size=3),
    st.lists(actions, min_size=1, max_size=3),
    st.lists(actions, min_size=1, max_size=4),
)
_THERE = (World.first_use, World.carry)
_ROUTED = (*_THERE, World.router_comes, World.carry)
_MOVED = (World.guest_is_bound, World.carry)
_USED = (World.born_at_site, World.carry)
#: What surely comes by a point, in the place of what is drawn; the first that fits.
PASSING: dict[str, tuple[Callable[[World], None], ...]] = {
    "central.bundle": (World.first_use,),
    "central.call": (World.first_use,),
    "central.change": (World.born_at_central, World.device_changes),
    "central.removal": (World.subnet_comes, World.subnet_goes),
    "central.report.created": (World.born_at_site,),
    "central.report.removed": (World.born_at_site, World.one_goes_at_site),
    "central.report": (World.born_at_site, World.one_changes_at_site),
    "central.desired": (World.network_changes, World.carry),
    "apply.router.removed": (*_ROUTED, World.router_goes, World.carry),
    "apply.router": _ROUTED,
    "apply.network.removed": (*_THERE, World.withdrawn, World.carry),
    "apply.subnet.removed": (
        *_THERE,
        World.subnet_comes,
        World.carry,
        World.subnet_goes,
        World.carry,
    ),
    "apply.port.removed": (*_THERE, *_MOVED, World.one_goes_at_central, World.carry),
    "apply.port": (*_THERE, *_MOVED, World.one_changes_at_central, World.carry),
    "apply.address_group": (*_USED, World.rule_comes, World.carry),
    "apply.security_group": (*_USED, World.rule_comes, World.carry),
    "apply.shadows": (*_THERE, World.second_site, World.carry),
    "apply": (World.rule_comes, World.subnet_comes, World.network_changes, World.carry),
    "delivery": (World.network_changes, World.carry),
    "report": (World.born_at_site,),
    "lease": (World.many_at_site,),
    "recall": (World.recall, World.carry),
}


#: Points that no action comes by, and who does.
ELSEWHERE = {
    "apply.qos_policy.made": "tests/neutron/test_local_crash.py: a site dies as a policy comes",
    "registration.begun": "tests/neutron/test_late_reports.py: a site registers at its start",
    "apply.router.gateway": "tests/neutron/test_router_crash.py: a gateway takes a fabric",
}


def list_own() -> set[str]:
    """List the points of resources that no action makes, and whose own tests name them."""
    own = {kind: Path(__file__).with_name(f"test_{kind}.py") for kind in RESOURCES}
    points = {f"apply.{kind}.made": path for kind, path in own.items() if path.exists()}
    return {point for point, path in points.items() if f'"{point}"' in path.read_text()}


@dataclass
class Cloud:
    central: CentralServer
    site: LocalServer
    at_central: Pause
    at_site: Pause
    here: Pause  #: where the tests drain the lane, as Xjob does
    passed: set[str] = field(default_factory=set)

    def pause_at(self, point: str) -> Pause:
        """Give what holds whoever comes by a point."""
        if point.startswith("delivery."):
            return self.here
        return self.at_central if point.startswith("central.") else self.at_site


@pytest.fixture(scope="module")
def cloud(
    new_database: Callable[[], str],
    site_ovn: OvnDatabases,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("interleavings")
    at_central, at_site = Pause(folder / "at-central"), Pause(folder / "at-site")
    here = Pause(folder / "here")
    central = CentralServer(folder / "central", folder / "none", url=new_database())
    wan = Wan(lambda: central.port, site_user("site1"))
    quick = {"lease_sweep_s": 1.0, "lease_idle_s": 1.0}  # idle blocks go back while we look
    site = LocalServer(
        folder / "site1", folder / "none", site_ovn, "site1", wan, url=new_database(), isthmus=quick
    )
    central.start(**at_central.environment)
    try:
        central.make_sites()
        site.start(**at_site.environment)
        site.wait_registered()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in here.environment.items():
                patch.setenv(name, value)
            yield Cloud(central, site, at_central, at_site, here)
    finally:
        site.kill()
        central.kill()
        wan.close()


def interleave(cloud: Cloud, point: str, story: Any, *, comes_by_s: float = MEANWHILE_S) -> None:
    """Tell a story.

    Args:
        cloud: both tiers.
        point: where somebody is held.
        story: what is done first, what is under way, and what is done meanwhile.
        comes_by_s: how long somebody may take to come by, once what is under way has been done.
    """
    before, under_way, meanwhile = story
    world = World(cloud.central, cloud.site)
    for action in before:
        action(world)
    surely = next((some for start, some in PASSING.items() if point.startswith(start)), ())

    def work() -> None:
        for action in (*under_way, *surely):
            action(world)

    def others() -> None:
        for action in meanwhile:
            action(world)

    slow = threading.Thread(target=work, daemon=True)
    quick = threading.Thread(target=others, daemon=True)
    with cloud.pause_at(point).offered(point) as is_paused:
        slow.start()
        until(lambda: is_paused() or not slow.is_alive(), timeout_s=240, what=f"{point} or the end")
        if not is_paused():  # what is told in the background comes by a little later
            with contextlib.suppress(AssertionError):
                until(is_paused, timeout_s=comes_by_s, what=point)
        if is_paused():
            cloud.passed.add(point)
        quick.start()
        quick.join(MEANWHILE_S)  # it may well wait for a lock of whoever is held
    for thread in (slow, quick):
        thread.join(240)
        assert not thread.is_alive()
    world.check()


#: A few stories that every run of the tests pays for; `./dev test all` has them drawn.
TOLD: dict[str, tuple[tuple[Callable[[World], None], ...], ...]] = {
    "central.bundle.before_commit": (
        (),
        (World.first_use,),
        (World.rule_comes, World.subnet_comes, World.one_changes_at_central),
    ),
    "delivery.read": (
        (World.born_at_site,),
        (World.network_changes, World.rule_comes, World.carry),
        (World.rule_goes, World.one_changes_at_site, World.subnet_comes),
    ),
    "apply.subnet.made": (
        (World.born_at_site, World.carry),
        (World.subnet_comes, World.carry),
        (World.subnet_goes, World.born_at_site),
    ),
    "report.taken": (
        (World.first_use,),
        (World.born_at_site,),
        (World.one_changes_at_central, World.one_changes_at_site, World.one_is_bound),
    ),
}


@pytest.mark.parametrize("point", TOLD)
def test_a_story(cloud: Cloud, point: str) -> None:
    interleave(cloud, point, TOLD[point], comes_by_s=240)
    assert point in cloud.passed


@pytest.mark.stress
@pytest.mark.parametrize("point", [name for name, _ in crash.POINTS])
def test_whoever_is_slow(cloud: Cloud, point: str) -> None:
    @settings(
        max_examples=3,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate,),  # a story takes seconds: what failed is shown as it was
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(story=stories)
    def tell(story: Any) -> None:
        interleave(cloud, point, story)

    tell()


@pytest.mark.stress
def test_the_points_were_passed(cloud: Cloud) -> None:
    """Holding nobody would prove nothing."""
    if not cloud.passed:
        pytest.skip("the others did not run")
    points = {name for name, _ in crash.POINTS}
    assert points - cloud.passed <= ELSEWHERE.keys() | list_own()
