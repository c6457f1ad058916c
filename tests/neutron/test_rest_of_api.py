"""The rest of the API: what central answers beside a stock ML2/OVN server, as its page says.

Each line of the table in `docs/reference/tenant-api.md` is a request that is made to both.
"""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Reply, Server, User, tenant

from isthmus.services.render import Flavour
from isthmus.testing.ovn import OvnDatabases

pytestmark = pytest.mark.neutron

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tenant-api.md"
_ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<central>\d+) \| (?P<stock>\d+) \|(?P<why>[^|]*)\|$")

#: What is no project's.
_NOBODYS = frozenset({"segment", "flavor", "service_profile", "rbac_policy"})


class World:
    """What requests need of one server."""

    def __init__(self, server: Server, **hint: Any) -> None:
        self.server, self.hint = server, hint
        self.user: User = tenant(uuid.uuid4().hex)
        self.network = server.create("network", self.user, name="n")["id"]
        self.vlan = self.make_vlan(156)
        self.scope = server.create("address_scope", self.user, name="s", ip_version=4)["id"]
        self.group = server.create("security_group", self.user, name="g")["id"]
        self.addresses = server.create("address_group", self.user, name="a", addresses=[])["id"]
        policy: Any = {"policy": {"name": "p", "project_id": self.user.project}}
        self.policy = server.call("POST", "/v2.0/qos/policies", policy).only()["id"]
        self.pool = self._pool("10.80.0.0/16", 24, address_scope_id=self.scope)

    def make_vlan(self, tag: int) -> str:
        values = {
            "provider:network_type": "vlan",
            "provider:physical_network": "public",
            "provider:segmentation_id": tag,
        }
        body = {"network": {"name": f"v{tag}", **values, **self.hint}}
        return str(self.server.call("POST", "/v2.0/networks", body).only()["id"])

    def _pool(self, prefix: str, length: int, **more: Any) -> str:
        made = self.server.create(
            "subnetpool", self.user, name="p", prefixes=[prefix], default_prefixlen=length, **more
        )
        return str(made["id"])

    def have_defaults(self) -> None:
        """Have what an auto-allocated topology is made of."""
        for prefix, length in (("10.90.0.0/16", 24), ("fd90::/48", 64)):
            body: Any = {"prefixes": [prefix], "default_prefixlen": length, "is_default": True}
            body |= {"name": "default", "shared": True, "project_id": "admins"}
            self.server.call("POST", "/v2.0/subnetpools", {"subnetpool": body}).only()
        values = {
            "provider:network_type": "flat",
            "provider:physical_network": "public",
            "router:external": True,
            "is_default": True,
        }
        body = {"network": {"name": "out", **values, **self.hint}}
        network = self.server.call("POST", "/v2.0/networks", body).only()["id"]
        subnet = {"network_id": network, "cidr": "172.31.1.0/24", "ip_version": 4}
        subnet |= {"enable_dhcp": False, "project_id": "admins"}
        self.server.call("POST", "/v2.0/subnets", {"subnet": subnet}).only()

    def post(self, path: str, kind: str, user: User = ADMIN, **values: Any) -> Reply:
        if kind not in _NOBODYS:
            values.setdefault("project_id", self.user.project)
        return self.server.call("POST", f"/v2.0/{path}", {kind: values}, user)

    def get(self, path: str, user: User = ADMIN) -> Reply:
        return self.server.call("GET", f"/v2.0/{path}", user=user)

    def share(self, kind: str, one: str, action: str = "access_as_shared") -> Reply:
        values = {
            "object_type": kind,
            "object_id": one,
            "action": action,
            "target_tenant": uuid.uuid4().hex,
        }
        return self.post("rbac-policies", "rbac_policy", self.user, **values)

    def put(self, path: str, kind: str, **values: Any) -> Reply:
        return self.server.call("PUT", f"/v2.0/{path}", {kind: values})

    def find_segment(self, network: str = "") -> str:
        return str(self.get(f"segments?network_id={network or self.vlan}").only()[0]["id"])

    def allocate(self) -> Reply:
        self.have_defaults()
        return self.get(f"auto-allocated-topology/{self.user.project}", self.user)

    def segments(self) -> Reply:
        """Ask for a network of two segments."""
        both = [
            {
                "provider:network_type": "vlan",
                "provider:physical_network": physical,
                "provider:segmentation_id": 158,
            }
            for physical in ("public", "physnet1")
        ]
        return self.post("networks", "network", name="m", segments=both, **self.hint)

    def flavoured(self) -> Reply:
        flavor = self.post("flavors", "flavor", service_type="L3_ROUTER_NAT", name="f").only()["id"]
        return self.post("routers", "router", name="r", flavor_id=flavor)


#: What is asked for, in the order of the page.
PROBES: Mapping[str, Callable[[World], Reply]] = {
    "a network's `dns_domain`": lambda on: on.put(
        f"networks/{on.network}", "network", dns_domain="example.org."
    ),
    "a port's `dns_name`": lambda on: on.post(
        "ports", "port", network_id=on.network, dns_name="web"
    ),
    "a port's `dns_domain`": lambda on: on.post(
        "ports", "port", network_id=on.network, dns_domain="example.org."
    ),
    "auto-allocated topology": World.allocate,
    "auto-allocated topology deleted": lambda on: on.server.call(
        "DELETE", f"/v2.0/auto-allocated-topology/{on.user.project}", user=on.user
    ),
    "segments listed": lambda on: on.get("segments"),
    "a segment renamed": lambda on: on.put(
        f"segments/{on.find_segment()}", "segment", name="rack1"
    ),
    "a second segment for a network": lambda on: on.post(
        "segments",
        "segment",
        network_id=on.vlan,
        network_type="vlan",
        physical_network="physnet1",
        segmentation_id=157,
    ),
    "a network of two segments": World.segments,
    "a subnet on a segment": lambda on: on.post(
        "subnets",
        "subnet",
        network_id=on.vlan,
        cidr="10.78.0.0/24",
        ip_version=4,
        segment_id=on.find_segment(),
    ),
    "a network's segment deleted": lambda on: on.server.call(
        "DELETE", f"/v2.0/segments/{on.find_segment(on.make_vlan(159))}"
    ),
    "metering": lambda on: on.post("metering/metering-labels", "metering_label", name="m"),
    "flavors": lambda on: on.post("flavors", "flavor", service_type="L3_ROUTER_NAT", name="f"),
    "service profiles": lambda on: on.post(
        "service_profiles", "service_profile", driver="", metainfo="{}", enabled=True
    ),
    "a router of a flavor": World.flavoured,
    "a subnet of a pool in an address scope": lambda on: on.post(
        "subnets",
        "subnet",
        on.user,
        network_id=on.network,
        ip_version=4,
        subnetpool_id=on.pool,
    ),
    "a pool that overlaps another of its address scope": lambda on: on.post(
        "subnetpools",
        "subnetpool",
        on.user,
        name="q",
        prefixes=["10.80.0.0/24"],
        default_prefixlen=26,
        address_scope_id=on.scope,
    ),
    "RBAC of a network": lambda on: on.share("network", on.network),
    "RBAC of a network as external": lambda on: on.share(
        "network", on.network, "access_as_external"
    ),
    "RBAC of a security group": lambda on: on.share("security_group", on.group),
    "RBAC of an address group": lambda on: on.share("address_group", on.addresses),
    "RBAC of a QoS policy": lambda on: on.share("qos_policy", on.policy),
    "RBAC of an address scope": lambda on: on.share("address_scope", on.scope),
    "RBAC of a subnet pool": lambda on: on.share("subnetpool", on.pool),
    "service function chains": lambda on: on.get("sfc/port_chains"),
    "flow classifiers": lambda on: on.get("sfc/flow_classifiers"),
    "logs of security groups": lambda on: on.get("log/logs"),
    "local IPs": lambda on: on.get("local_ips"),
    "NDP proxies": lambda on: on.get("ndp_proxies"),
    "VPN": lambda on: on.get("vpn/vpnservices"),
    "firewall groups": lambda on: on.get("fwaas/firewall_groups"),
    "tap mirrors": lambda on: on.get("taas/tap_mirrors"),
    "ranges of segments": lambda on: on.get("network_segment_ranges"),
    "availability of addresses": lambda on: on.get("network-ip-availabilities"),
    "default rules of security groups": lambda on: on.get("default-security-group-rules"),
}


@pytest.fixture(scope="module")
def stock(
    site_ovn: OvnDatabases, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    """A plain ML2/OVN server."""
    server = LocalServer(
        tmp_path_factory.mktemp("stock"),
        neutron_template,
        site_ovn,
        "stock",
        None,
        flavour=Flavour.STOCK,
    )
    server.start()
    try:
        yield server
    finally:
        server.kill()


def test_each_request_is_answered_as_the_page_says(
    central: CentralServer, stock: LocalServer
) -> None:
    rows = [match for line in PAGE.read_text().splitlines() if (match := _ROW.match(line))]
    said = {row["what"]: (int(row["central"]), int(row["stock"])) for row in rows}
    worlds = (World(central, availability_zone_hints=["zone1"]), World(stock))
    replies = {what: [ask(world) for world in worlds] for what, ask in PROBES.items()}
    seen = {what: tuple(one.status for one in pair) for what, pair in replies.items()}
    assert seen == said, {what: [one.text for one in pair] for what, pair in replies.items()}
    assert list(said) == list(PROBES)
    # What differs has its reason.
    assert [
        row["what"] for row in rows if row["central"] != row["stock"] and not row["why"].strip()
    ] == []
