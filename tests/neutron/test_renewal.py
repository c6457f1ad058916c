"""A site is compared with what it should hold: rows changed by hand in either tier are healed."""

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, CARRIER, Server, User, carrier, site_user, tenant

from isthmus.clients.http.neutron import collection_path
from isthmus.federation.renewal import Renewal
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.operate.renewal import CentralPages, SiteHoldings
from isthmus.store.delivery import journal
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron

SITE = SiteName("site1")


class ServerClient:
    """`isthmus.clients.http.neutron.NeutronClient`, as far as a renewal needs it."""

    def __init__(self, server: Server, user: User) -> None:
        self._server, self._user = server, user

    def post(self, resource: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        path = collection_path(resource)
        reply = self._server.call("POST", path, {resource: dict(body)}, self._user)
        assert reply.status == 201, reply.text
        found: Mapping[str, Any] = reply.only()
        return found


@dataclass
class Pair:
    central: CentralServer
    site: LocalServer
    noted: list[str] = field(default_factory=list)

    def note(self, keys: Sequence[IntentKey]) -> None:
        self.noted += [f"{key.type.value} {key.id}" for key in keys]
        with self.central.database(write=True) as connection:
            journal.record(connection, keys)

    def renew(self) -> list[str]:
        """Compare; gives what was noted at central."""
        self.noted = []
        renewal = Renewal(
            SITE,
            central=CentralPages(ServerClient(self.central, CARRIER)),  # type: ignore[arg-type]
            holder=SiteHoldings(ServerClient(self.site, carrier(SITE))),  # type: ignore[arg-type]
            journal=self,
        )
        while renewal.step():
            pass
        return self.noted

    def settle(self) -> None:
        """Let the site report, and carry what central has for it."""

        def quiet() -> bool:
            carry(self.central, self.site)
            return not self.site.rows("isthmus_journal") and not self.central.jobs(SITE)

        try:
            until(quiet, what="nothing is under way", timeout_s=120)
        except AssertionError as error:
            told = self.site.rows("isthmus_journal"), self.central.jobs(SITE)
            raise AssertionError(told) from error


@pytest.fixture(scope="module")
def pair(central: CentralServer, site1: LocalServer) -> Pair:
    return Pair(central, site1)


@dataclass
class Things:
    """One of each type, and the project that owns them."""

    project: str
    network: str
    subnet: str
    group: str
    addresses: str
    port: str  #: made at the site
    guest: str  #: made at central, at home at the site
    shadow: str  #: at home at the other site


@pytest.fixture(scope="module")
def things(pair: Pair) -> Things:
    central, site = pair.central, pair.site
    project = uuid.uuid4().hex
    owner = tenant(project)
    network = central.create("network", owner, name="n")["id"]
    subnet = central.create("subnet", owner, network_id=network, cidr="10.7.0.0/24", ip_version=4)[
        "id"
    ]
    addresses = central.create(
        "address_group", owner, name="a", addresses=["192.0.2.0/24", "198.51.100.0/24"]
    )["id"]
    group = central.create("security_group", owner, name="g")["id"]
    rule = {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
    central.create(
        "security_group_rule",
        owner,
        security_group_id=group,
        remote_address_group_id=addresses,
        **rule,
    )
    guest = central.create("port", owner, network_id=network, security_groups=[group])["id"]
    body = {"binding:host_id": "host1", "device_owner": "compute:nova"}
    bound = site.call("PUT", f"/v2.0/ports/{guest}", {"port": body})
    assert bound.status == 200, bound.text
    made = site.create(
        "port",
        ADMIN,
        network_id=network,
        project_id=project,
        security_groups=[group],
        device_id=str(uuid.uuid4()),
        device_owner="compute:nova",
        **{"binding:host_id": "host1"},
    )["id"]
    central.bundle("site2", "network", network, project=project)
    shadow = str(uuid.uuid4())
    lease = central.lease_request("site2", kind="subnet", pool_id=subnet, count=4).only()["leases"][
        0
    ]
    address = str(ipaddress.ip_address(int(lease["first"])))
    keys = central.lease_request("site2", kind="port_key", pool_id=network, count=1).only()[
        "leases"
    ][0]
    state = {
        **central.call("GET", f"/v2.0/ports/{guest}").only(),
        "id": shadow,
        "name": "far",
        "mac_address": "fa:16:02:00:00:01",
        "fixed_ips": [{"subnet_id": subnet, "ip_address": address}],
        "isthmus:base": None,
        "isthmus:location": {
            "chassis": "hv-far",
            "hostname": "far1",
            "encap_ip": "192.0.9.1",
            "port_key": int(keys["first"]),
        },
    }
    (result,) = central.report("site2", {"type": "port", "id": shadow, "state": state})
    assert result["code"] == "", result
    pair.settle()
    return Things(project, network, subnet, group, addresses, made, guest, shadow)


def test_nothing_is_noted_where_all_agree(pair: Pair, things: Things) -> None:
    assert things.network in {row["id"] for row in pair.site.rows("networks")}
    assert pair.renew() == []
    assert pair.site.rows("isthmus_journal") == []


#: (tier, statement, what is noted at central); what a site's own port differs in, the site reports.
HAND = [
    ("site", "UPDATE networks SET name = 'x' WHERE id = :network", "network"),
    ("site", "UPDATE networks SET mtu = 1300 WHERE id = :network", "network"),
    ("site", "UPDATE subnets SET enable_dhcp = 0 WHERE id = :subnet", "subnet"),
    ("site", "UPDATE securitygroups SET name = 'x' WHERE id = :group", "security_group"),
    (
        "site",
        "UPDATE securitygrouprules SET protocol = 'udp'"
        " WHERE security_group_id = :group AND direction = 'ingress'",
        "security_group",
    ),
    (
        "site",
        "DELETE FROM address_associations"
        " WHERE address_group_id = :addresses AND address LIKE '192%'",
        "address_group",
    ),
    pytest.param(
        "site",
        "DELETE FROM securitygrouprules WHERE security_group_id = :group AND direction = 'ingress'",
        "security_group",
        marks=pytest.mark.stress,
    ),
    pytest.param(
        "site",
        "DELETE FROM securitygrouprules WHERE security_group_id = :group",
        "security_group",
        marks=pytest.mark.stress,
    ),
    ("site", "DELETE FROM isthmus_shadows WHERE port_id = :shadow", "shadow"),
    (
        "site",
        "UPDATE isthmus_shadows SET state = REPLACE(state, 'hv-far', 'hv-none')"
        " WHERE port_id = :shadow",
        "shadow",
    ),
    (
        "site",
        "DELETE FROM isthmus_leases WHERE pool_id = :subnet",
        "subnet",
    ),
    ("central", "UPDATE networks SET name = 'y' WHERE id = :network", "network"),
    ("central", "UPDATE securitygroups SET name = 'y' WHERE id = :group", "security_group"),
    ("site", "UPDATE ports SET name = 'x' WHERE id = :port", None),
    ("central", "UPDATE ports SET name = 'y' WHERE id = :port", None),
    ("central", "UPDATE ports SET name = 'z' WHERE id = :guest", None),
    ("site", "UPDATE ports SET device_id = 'another' WHERE id = :port", None),
    ("central", "UPDATE ports SET device_id = 'another' WHERE id = :guest", None),
    ("central", "UPDATE ports SET device_owner = 'compute:another' WHERE id = :port", None),
    ("central", "DELETE FROM isthmus_locations WHERE port_id = :port", None),
    ("central", "UPDATE isthmus_locations SET encap_ip = '192.0.2.9' WHERE port_id = :port", None),
]


@pytest.mark.parametrize(("tier", "statement", "kind"), HAND)
def test_a_row_changed_by_hand_is_healed(
    pair: Pair, things: Things, tier: str, statement: str, kind: str | None
) -> None:
    server: Any = pair.site if tier == "site" else pair.central
    with server.database(write=True) as connection:
        assert connection.execute(sa.text(statement), vars(things)).rowcount
    noted = pair.renew()
    ids = {"network": things.network, "subnet": things.subnet, "security_group": things.group}
    ids |= {"address_group": things.addresses, "shadow": things.shadow}
    assert noted == ([] if kind is None else [f"{kind} {ids[kind]}"])
    pair.settle()
    assert pair.renew() == []
    assert pair.site.rows("isthmus_journal") == []


def test_what_one_side_has_lost_comes_back_and_what_is_left_over_goes(
    pair: Pair, things: Things
) -> None:
    project = uuid.uuid4().hex
    left = pair.central.create("security_group", tenant(project), name="left over")["id"]
    pair.central.bundle("site1", "security_group", left, project=project)
    pair.note([IntentKey(SITE, ResourceType.SECURITY_GROUP, left)])
    pair.settle()
    assert left in {row["id"] for row in pair.site.rows("securitygroups")}
    with pair.central.database(write=True) as connection:  # as if it came from an old backup
        connection.execute(sa.text("DELETE FROM securitygroups WHERE id = :id"), {"id": left})
        connection.execute(
            sa.text("DELETE FROM isthmus_site_mappings WHERE resource_id = :id"), {"id": left}
        )
    assert pair.renew() == [f"security_group {left}"]
    pair.settle()
    assert left not in {row["id"] for row in pair.site.rows("securitygroups")}
    assert pair.renew() == []


def test_a_site_whose_notes_were_lost_reports_its_ports(pair: Pair, things: Things) -> None:
    assert pair.site.wan is not None
    pair.site.wan.cut()
    made = {"network_id": things.network, "project_id": things.project, "name": "unheard of"}
    port = pair.site.create("port", ADMIN, **made)["id"]
    with pair.site.database(write=True) as connection:
        assert connection.execute(sa.text("DELETE FROM isthmus_journal")).rowcount
    pair.site.wan.heal()
    assert pair.central.call("GET", f"/v2.0/ports/{port}").status == 404
    assert pair.renew() == []
    pair.settle()
    assert pair.central.call("GET", f"/v2.0/ports/{port}").only()["name"] == "unheard of"
    assert pair.renew() == []


def test_each_call_is_for_one_tiers_user_alone(pair: Pair) -> None:
    digest = {"site_digest": {"site": SITE, "type": "network", "attributes": ["name"]}}
    for user in (carrier(SITE), carrier("site2"), site_user(SITE), tenant("p")):
        assert pair.central.call("POST", "/v2.0/site-digests", digest, user).status in (403, 404)
    for user in (CARRIER, carrier("site2"), site_user(SITE), tenant("p")):
        reply = pair.site.call("POST", "/v2.0/site-comparisons", {"site_comparison": {}}, user)
        assert reply.status in (400, 403, 404), (user, reply)


def test_a_subnet_whose_row_was_lost_comes_back_as_it_was(pair: Pair) -> None:
    """SQLite leaves the rows of its parts behind: they are not there twice."""
    project = uuid.uuid4().hex
    network = pair.central.create("network", tenant(project), name="spare")["id"]
    subnet = pair.central.create(
        "subnet",
        tenant(project),
        network_id=network,
        cidr="10.8.0.0/24",
        ip_version=4,
        dns_nameservers=["192.0.2.53"],
        host_routes=[{"destination": "198.51.100.0/24", "nexthop": "10.8.0.9"}],
    )["id"]
    pair.central.bundle("site1", "network", network, project=project)
    pair.note([IntentKey(SITE, ResourceType.NETWORK, network)])
    pair.settle()

    def parts() -> dict[str, int]:
        tables = ("subnets", "ipallocationpools", "dnsnameservers", "subnetroutes")
        column = {"subnets": "id"}
        return {
            one: sum(row[column.get(one, "subnet_id")] == subnet for row in pair.site.rows(one))
            for one in tables
        }

    pair.renew()
    pair.settle()
    assert set(parts().values()) == {1}
    with pair.site.database(write=True) as connection:
        connection.execute(sa.text("DELETE FROM subnets WHERE id = :id"), {"id": subnet})
    pair.renew()
    pair.settle()
    assert set(parts().values()) == {1}, parts()
