"""Something is deleted at central under a port that is just being made at a site.

What a server uses stays at the site, both sides say so, and everything goes by itself with what was
in the way: nobody has to retry anything, and nothing is left behind in either tier.
"""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.delivery import SiteDelivery
from tests.neutron.local_server import LocalServer
from tests.neutron.pausing import Pause
from tests.neutron.server import ADMIN, Server, User, tenant
from tests.neutron.test_carried import ask

from isthmus import errors
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

IN_USE = "isthmus.refused.in_use"


@dataclass
class Place:
    """A network with two subnets and a group, used at the site before."""

    central: CentralServer
    site: LocalServer
    delivery: SiteDelivery
    user: User
    network: str
    first: str  #: subnets
    second: str
    group: str

    def make_port(self, *subnets: str, group: str | None = None, **more: Any) -> str:
        body: dict[str, Any] = {"network_id": self.network, "device_owner": "compute:nova", **more}
        body["fixed_ips"] = [{"subnet_id": one} for one in subnets]
        if group:
            body["security_groups"] = [group]
        return str(self.site.create("port", self.user, **body)["id"])

    def delete_at_central(self, kind: str, one: str) -> None:
        path = "ies" if kind.endswith("y") else "s"
        url = f"/v2.0/{kind.replace('_', '-')}{path}/{one}"
        assert self.central.call("DELETE", url).status == 204

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """Let central hear of nothing, and not know that it does not."""
        assert self.site.wan is not None
        self.site.wan.cut()
        try:
            yield
        finally:
            self.site.wan.heal()

    def refusals(self, one: str) -> list[str]:
        rows = self.central.call("GET", f"/v2.0/site-refusals?resource_id={one}").only()
        return [row["reason"] for row in rows]

    def quiet(self) -> bool:
        """Tell whether neither tier has anything to do any more."""
        self.delivery.run()
        return not self.site.rows("isthmus_journal") and not self.central.jobs(self.site.site)


@pytest.fixture
def place(central: CentralServer, site1: LocalServer) -> Place:
    project = uuid.uuid4().hex
    user = tenant(project)
    network = central.create("network", user, name="n")["id"]
    subnets = [
        central.create("subnet", user, network_id=network, cidr=cidr, ip_version=4)["id"]
        for cidr in ("10.1.0.0/24", "10.2.0.0/24")
    ]
    group = central.create("security_group", user, name="g")["id"]
    found = Place(
        central, site1, SiteDelivery(central, site1), user, network, subnets[0], subnets[1], group
    )
    port = found.make_port(*subnets, group=group)
    assert site1.delete("port", port).status == 204
    until(found.quiet, timeout_s=120, what="all has been told")
    return found


def check_said(place: Place, kind: str, one: str, port: str) -> None:
    """See that the site keeps what is in use, that the port works, and that both sides say why."""

    def said() -> bool:
        place.delivery.lose_patience()
        return (kind, one) in place.delivery.parked() and bool(place.refusals(port))

    until(said, timeout_s=120, what="the site has refused, and so has central")
    assert place.delivery.parked()[kind, one].startswith(IN_USE)
    assert one[:8] in place.refusals(port)[0], place.refusals(port)
    assert place.site.get(f"ports/{port}", place.user).status == 200
    shown = place.central.call("GET", "/v2.0/sites?name=site1").only()[0]
    assert shown["parked"] >= 1


TABLES = {"network": "networks", "subnet": "subnets", "security_group": "securitygroups"}


def check_gone(place: Place, kind: str, one: str, port: str) -> None:
    """See that nothing is left, and that nobody had to retry anything."""
    until(place.quiet, timeout_s=120, what="all has gone")
    assert one not in {row["id"] for row in place.site.rows(TABLES[kind])}
    for server in (place.site, place.central):
        with server.database() as connection:
            for table, column in (
                ("isthmus_site_mappings", "resource_id"),
                ("isthmus_leases", "pool_id"),
            ):
                query = f"SELECT 1 FROM {table} WHERE {column} = '{one}' AND site != ''"
                assert connection.exec_driver_sql(query).all() == [], (table, server)
    assert place.refusals(port) == []


def test_a_network_under_a_new_port(place: Place) -> None:
    with place.unheard():
        port = place.make_port(place.first)
        place.delete_at_central("network", place.network)
    check_said(place, "network", place.network, port)
    assert "deleted at central" in place.refusals(port)[0]
    assert place.site.delete("port", port).status == 204
    check_gone(place, "network", place.network, port)
    check_gone(place, "subnet", place.first, port)


def test_a_network_under_a_server_that_moves_on(place: Place) -> None:
    """The port is bound, changed and unbound again before it goes; what it says stays refused."""
    with place.unheard():
        port = place.make_port(place.first)
        site = place.site
        assert site.update("port", port, ADMIN, **{"binding:host_id": "host1"}).status == 200
        place.delete_at_central("network", place.network)
    check_said(place, "network", place.network, port)
    place.site.update("port", port, ADMIN, **{"binding:host_id": ""}, name="later").only()
    check_said(place, "network", place.network, port)
    assert place.site.delete("port", port).status == 204
    check_gone(place, "network", place.network, port)


def test_a_subnet_under_a_new_port(place: Place) -> None:
    with place.unheard():
        port = place.make_port(place.first)
        place.delete_at_central("subnet", place.first)
    check_said(place, "subnet", place.first, port)
    assert place.site.delete("port", port).status == 204
    check_gone(place, "subnet", place.first, port)


def test_a_subnet_whose_port_gives_the_address_up(place: Place) -> None:
    """The port stays: it had an address of another subnet too."""
    with place.unheard():
        port = place.make_port(place.first, place.second)
        place.delete_at_central("subnet", place.first)
    check_said(place, "subnet", place.first, port)
    (kept,) = place.central.call("GET", f"/v2.0/ports/{port}").only()["fixed_ips"]
    assert kept["subnet_id"] == place.second
    place.site.update("port", port, place.user, fixed_ips=[kept]).only()
    check_gone(place, "subnet", place.first, port)
    assert place.site.get(f"ports/{port}", place.user).only()["fixed_ips"] == [kept]


def test_a_group_under_a_new_port(place: Place) -> None:
    with place.unheard():
        port = place.make_port(place.first, group=place.group)
        place.delete_at_central("security_group", place.group)
    check_said(place, "security_group", place.group, port)
    assert place.central.call("GET", f"/v2.0/ports/{port}").only()["security_groups"] == []
    assert place.site.delete("port", port).status == 204
    check_gone(place, "security_group", place.group, port)


def test_a_group_that_its_port_leaves(place: Place) -> None:
    """What is left says nothing new to central, which has had the port without groups."""
    with place.unheard():
        port = place.make_port(place.first, group=place.group)
        place.delete_at_central("security_group", place.group)
    check_said(place, "security_group", place.group, port)
    place.site.update("port", port, place.user, security_groups=[]).only()
    check_gone(place, "security_group", place.group, port)
    assert place.site.get(f"ports/{port}", place.user).status == 200


def test_what_only_the_site_knows_of_is_found_by_looking_again(place: Place) -> None:
    """A port of a network of the site's own is in the group: central never hears of that one."""
    own = place.site.create("network", ADMIN, name="own", project_id=place.user.project)["id"]
    with place.unheard():
        port = place.site.create("port", ADMIN, network_id=own, security_groups=[place.group])["id"]
        place.delete_at_central("security_group", place.group)
    place.delivery.lose_patience()
    assert place.delivery.parked()["security_group", place.group].startswith(IN_USE)
    place.delivery.retry_in_use()
    assert place.delivery.parked().keys() == {("security_group", place.group)}
    assert place.site.delete("port", port).status == 204
    place.delivery.retry_in_use()
    check_gone(place, "security_group", place.group, port)


def test_a_report_that_is_late_brings_no_deleted_port_back(place: Place, tmp_path: Path) -> None:
    """Central would have forgotten the port, were it removed before the report has arrived."""
    pause = Pause(tmp_path / "pause")
    place.site.stop()
    place.site.start(**pause.environment)
    try:
        port = place.make_port(place.first)
        until(place.quiet, timeout_s=120, what="central knows the port")
        with pause.offered("delivery.read") as held:
            assert place.site.update("port", port, place.user, description="new").status == 200
            until(held, timeout_s=60, what="the report is on its way")
            place.delete_at_central("port", port)
            place.delivery.run()
            assert ("port", port) in place.central.jobs("site1"), "it waits for the report"
            assert place.site.get(f"ports/{port}").status == 200
        until(place.quiet, timeout_s=120, what="nothing is under way")
        for tier in (place.central, place.site):
            assert tier.call("GET", f"/v2.0/ports/{port}").status == 404
            assert [row for row in rows(tier, "isthmus_site_mappings") if port in row] == []
    finally:
        place.site.stop()
        place.site.start()


def rows(tier: Server, table: str) -> list[tuple[Any, ...]]:
    with tier.database() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]


def test_what_lacks_a_part_is_not_taken_for_gone() -> None:
    """What removes a router may find that somebody has just removed an interface of it."""
    told = ask("""
import json
from neutron_lib.exceptions import l3
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.neutron.local import materialise

class Row:
    there = {"id": "r"}
    def plugin(self):
        return self
    def find(self, plugin, context, resource_id):
        return self.there

tries, row = [], Row()
def fail(self, context, item, work, *, keep_existing):
    tries.append(item.id)
    raise l3.RouterInterfaceNotFound(router_id=item.id, port_id="p")
materialise.ROWS = {ResourceType.ROUTER: row}
materialise.Materialiser._try = fail
materialise.Materialiser._find_overtaken = lambda *_: None
materialise.n_context.get_admin_context = lambda: None
one = materialise.Materialiser(None, "site1")
item = Item(ResourceType.ROUTER, "r", None)
codes = [one._one(item, None, keep_existing=False).code]
row.there = None
codes.append(one._one(item, None, keep_existing=False).code)
print(json.dumps([codes, len(tries)]))
""")
    assert told == [[errors.Busy.code, errors.NotFound.code], 3 + 1]
