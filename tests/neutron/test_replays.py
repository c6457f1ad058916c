"""Every call between the tiers comes twice, some come late, and some lose their answer.

Nothing is lost, done twice or given to two, and both tiers agree in the end.
"""

import contextlib
import http.client
import itertools
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.delivery import SiteDelivery
from tests.neutron.local_server import LocalServer
from tests.neutron.mariadb import central, sound
from tests.neutron.server import OnBehalf, Reply, Server, User, read_token, site_user, tenant
from tests.neutron.test_renewal import ServerClient
from tests.neutron.wan import Wan, _Relay
from typing_extensions import override

from isthmus import errors
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.timeout(900)]

__all__ = ["central", "sound"]

#: Of so many calls of a kind one comes again after a newer one, or loses its answer.
LATE, LOST = 2, 5


class Replay:
    """What becomes of the calls of each kind: deterministic, by counting them."""

    def __init__(self) -> None:
        self._counts: dict[str, Iterator[int]] = defaultdict(itertools.count)
        self._former: dict[str, Callable[[], Any]] = {}
        self._lock = threading.Lock()
        self.replayed = 0
        self.on = True

    def carry(self, kind: str, call: Callable[[], Any]) -> tuple[Any, bool]:
        """Make a call twice, sometimes an older one after it; tell whether the answer is lost."""
        answer = call()
        if not self.on:
            return answer, False
        with self._lock:
            number = next(self._counts[kind])
            former = self._former.get(kind)
            if number % LATE == 0:
                self._former[kind] = call
        call()
        if former is not None and number % LATE == 0:
            former()
            self.replayed += 1
        return answer, number % LOST == LOST - 1


class Answer(NamedTuple):
    status: int
    body: bytes


class ReplayingWan(Wan):
    """The link from a site to central."""

    def __init__(self, port: Callable[[], int], site: User) -> None:
        super().__init__(port, site)
        self.RequestHandlerClass = _Handler
        self.replay = Replay()

    def send(self, method: str, path: str, data: bytes, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=120)
        try:
            connection.request(method, path, data or None, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()


class _Handler(_Relay):
    server: ReplayingWan

    @override
    def _relay(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {"Content-Type": "application/json", **self.server.headers}
        if self.headers.get("X-Service-Token"):
            person = read_token(self.headers["X-Auth-Token"])
            headers = OnBehalf(person, self.server.site).headers()
        method, path = self.command, self.path
        answer, lost = self.server.replay.carry(
            path.partition("?")[0], lambda: self.server.send(method, path, data, headers)
        )
        if lost:
            self.close_connection = True
            self.connection.close()
            return
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)


class ReplayingClient(ServerClient):
    """Xjob's way to a tier."""

    replay = Replay()

    @override
    def post(self, resource: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        answer, lost = self.replay.carry(
            resource, lambda: super(ReplayingClient, self).post(resource, body)
        )
        if lost:
            raise errors.Unreachable("the answer was lost")
        found: Mapping[str, Any] = answer
        return found


@pytest.fixture(scope="module")
def site1(
    central: CentralServer,
    site_ovn: OvnDatabases,
    new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalServer]:
    folder = tmp_path_factory.mktemp("site1-replays")
    wan = ReplayingWan(lambda: central.port, site_user("site1"))
    server = LocalServer(
        folder,
        folder / "no-template",
        site_ovn,
        "site1",
        wan,
        url=new_database(),
        isthmus={"lease_sweep_s": 1.0, "lease_idle_s": 1.0, "miss_ttl_s": 0.1},
    )
    try:
        server.start()
        yield server
    finally:
        server.kill()
        wan.close()


def insist(call: Callable[[], Reply], status: int) -> Any:
    """Make a call until its answer gets through; whatever else it says asks to try again."""
    seen: list[Reply] = []

    def done() -> bool:
        seen.append(call())
        assert seen[-1].status in (status, 503), seen[-1]
        return seen[-1].status == status

    until(done, timeout_s=240, what=f"the answer is {status}")
    return seen[-1].only() if seen[-1].body else None


def rules_of(server: Server, group: str) -> set[str]:
    found = server.call("GET", f"/v2.0/security-groups/{group}").only()["security_group_rules"]
    return {one["id"] for one in found}


@dataclass
class Story:
    """A network that both tiers use."""

    central: CentralServer
    site: LocalServer
    user: User
    network: str
    subnet: str
    group: str

    def make(self, **more: Any) -> str:
        body = {"network_id": self.network, "security_groups": [self.group], **more}
        made = insist(
            lambda: self.site.try_create("port", self.user, device_owner="compute:nova", **body),
            201,
        )
        return str(made["id"])

    def change(self, server: Server, port: str, **values: Any) -> None:
        path = f"/v2.0/ports/{port}"
        insist(lambda: server.call("PUT", path, {"port": values}), 200)

    def delete(self, server: Server, path: str) -> None:
        insist(lambda: server.call("DELETE", f"/v2.0/{path}"), 204)

    def add_rule(self, prefix: str) -> str:
        rule = {"direction": "ingress", "security_group_id": self.group}
        made = self.central.create(
            "security_group_rule", self.user, **rule, remote_ip_prefix=prefix
        )
        return str(made["id"])

    def use_briefly(self) -> str:
        """Make a network, use it at the site, delete it at central."""
        network = self.central.create("network", self.user, name="brief")["id"]
        values = {"network_id": network, "cidr": "10.6.0.0/24", "ip_version": 4}
        self.central.create("subnet", self.user, **values)
        insist(lambda: self.site.get(f"networks/{network}", self.user), 200)
        self.delete(self.central, f"networks/{network}")
        return str(network)

    def ports(self, server: Server) -> dict[str, dict[str, Any]]:
        found = server.call("GET", f"/v2.0/ports?network_id={self.network}").only()
        return {one["id"]: one for one in found if one["device_owner"] != "network:distributed"}


@pytest.fixture
def story(central: CentralServer, site1: LocalServer) -> Story:
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")["id"]
    values = {"network_id": network, "cidr": "10.5.0.0/25", "ip_version": 4}
    subnet = central.create("subnet", user, **values)["id"]
    group = central.create("security_group", user, name="g")["id"]
    return Story(central, site1, user, network, subnet, group)


@pytest.mark.stress  # two minutes
def test_whatever_comes_twice_late_or_unanswered(story: Story) -> None:
    central, site = story.central, story.site
    delivery = SiteDelivery(central, site, clients=ReplayingClient)
    ports = [story.make() for _ in range(5)]
    ports.append(story.make(fixed_ips=[{"subnet_id": story.subnet, "ip_address": "10.5.0.99"}]))
    ports.append(central.create("port", story.user, network_id=story.network)["id"])
    story.change(site, ports[-1], name="came home")
    delivery.run()
    first, second = story.add_rule("192.0.2.0/24"), story.add_rule("198.51.100.0/24")
    delivery.run()
    story.delete(central, f"security-group-rules/{first}")
    known = "the reports are taken"
    until(lambda: not site.rows("isthmus_journal"), timeout_s=240, what=known)
    story.change(central, ports[0], name="by central")
    story.change(site, ports[1], name="by the site")
    story.delete(site, f"ports/{ports[2]}")
    delivery.run()
    story.delete(central, f"ports/{ports[3]}")
    delivery.run()
    ports += [story.make() for _ in range(3)]
    brief = story.use_briefly()

    def quiet() -> bool:
        delivery.run()
        return not site.rows("isthmus_journal") and not central.jobs("site1")

    until(quiet, timeout_s=400, what="both tiers have told each other all")
    assert isinstance(site.wan, ReplayingWan)
    assert site.wan.replay.replayed
    assert ReplayingClient.replay.replayed
    check_same(story, set(ports) - {ports[2], ports[3]})
    shown = story.ports(central)
    names = [shown[ports[place]]["name"] for place in (0, 1, 6)]
    assert names == ["by central", "by the site", "came home"]
    assert second in rules_of(central, story.group)
    assert rules_of(central, story.group) == rules_of(site, story.group)
    assert brief not in {row["id"] for row in site.rows("networks")}


def check_same(story: Story, wanted: set[str]) -> None:
    """See that both tiers have just these ports, alike, and no address twice."""
    here, there = story.ports(story.site), story.ports(story.central)
    assert set(here) == set(there) == wanted
    for one in wanted:
        for name in ("name", "fixed_ips", "mac_address", "security_groups"):
            assert here[one][name] == there[one][name], (one, name)
    addresses = [ip["ip_address"] for one in there.values() for ip in one["fixed_ips"]]
    assert len(addresses) == len(set(addresses)) == len(wanted)


def test_first_uses_at_once_refuse_nobody(central: CentralServer, site1: LocalServer) -> None:
    """Several networks come at once, each with the same groups."""
    assert isinstance(site1.wan, ReplayingWan)
    site1.wan.replay.on = False
    user = tenant(uuid.uuid4().hex)
    addresses = central.create("address_group", user, name="a", addresses=["192.0.2.0/24"])["id"]
    group = central.create("security_group", user, name="g")["id"]
    for port in range(6):
        central.create(
            "security_group_rule",
            user,
            security_group_id=group,
            direction="ingress",
            protocol="tcp",
            port_range_min=port + 1,
            port_range_max=port + 1,
            remote_address_group_id=addresses,
        )
    networks = [central.create("network", user, name="n")["id"] for _ in range(5)]
    for number, one in enumerate(networks):
        values = {"network_id": one, "cidr": f"10.7.{number}.0/24", "ip_version": 4}
        central.create("subnet", user, **values)

    def make(network: str) -> Reply:
        return site1.try_create("port", user, network_id=network, security_groups=[group])

    with futures.ThreadPoolExecutor(len(networks)) as pool:
        replies = list(pool.map(make, networks))
    assert [one.status for one in replies] == [201] * len(networks), replies
    assert rules_of(site1, group) == rules_of(central, group)
    site1.wan.replay.on = True
