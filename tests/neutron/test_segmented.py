"""Networks with another segment at each site, and subnets on segments (routed networks)."""

import ipaddress
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Reply, User, tenant
from tests.neutron.test_own_networks import findings
from tests.neutron.test_provider_networks import localnets
from tests.neutron.test_renewal import Pair
from tests.neutron.test_segments import of, vlan
from tests.neutron.test_shared_fabric import BOTH, drop, share
from tests.neutron.test_trunks import mapped

from isthmus.testing.ovn import OvnDatabases

pytestmark = pytest.mark.neutron


#: Physical networks that site1 knows, two for each test.
FABRICS = [f"fabric{number}" for number in range(24)]
_UNUSED = iter(FABRICS)
SITE1_SECTIONS = {
    "ml2_type_vlan": {"network_vlan_ranges": ",".join(FABRICS)},
    # Its hypervisors are rows that nobody keeps fresh: to Neutron they are dead after that.
    "DEFAULT": {"agent_down_time": 86400},
}


@pytest.fixture(scope="module")
def hypervisors(site_ovn: OvnDatabases) -> None:
    """Have the site's hypervisors on every fabric before its Neutron starts."""
    mappings = ",".join(f"{name}:br-{name}" for name in FABRICS)
    for number in (1, 2):
        words = f'other_config:ovn-bridge-mappings="{mappings}"'
        site_ovn.sbctl("set", "Chassis", f"hv{number}", words)


@pytest.fixture(scope="module")
def pair(central: CentralServer, hypervisors: None, site1: LocalServer) -> Pair:
    return Pair(central, site1)


@dataclass
class Fabrics:
    """The physical network of each site, that no other has."""

    one: str
    two: str


@pytest.fixture
def fabrics(central: CentralServer) -> Iterator[Fabrics]:
    names = [next(_UNUSED) for _ in BOTH]
    for site, name in zip(BOTH, names, strict=True):
        assert share(central, site, name).status == 200
    yield Fabrics(*names)
    for site in BOTH:
        assert share(central, site).status == 200


def make(central: CentralServer, *segments: dict[str, Any], **more: Any) -> Reply:
    body = {"name": "n", "segments": list(segments), **more}
    return central.call("POST", "/v2.0/networks", {"network": body}, ADMIN)


def test_each_site_has_its_own_segment(
    pair: Pair, site_ovn: OvnDatabases, fabrics: Fabrics
) -> None:
    central, site = pair.central, pair.site
    made = make(central, vlan(fabrics.one, 51), vlan(fabrics.two, 52)).only()
    network = made["id"]
    assert len(made["segments"]) == 2
    assert mapped(central, network) == BOTH
    pair.settle()
    here = site.get(f"networks/{network}").only()
    assert {name: here[name] for name in vlan("", 0)} == vlan(fabrics.one, 51)
    (row,) = localnets(site_ovn, network)
    assert (row["options"]["network_name"], row["tag"]) == (fabrics.one, 51)
    assert pair.renew() == []
    assert findings(pair, network, row["name"]) == []
    items = central.bundle("site2", "network", network, project=made["project_id"])["items"]
    (there,) = by_type(items, "network")
    assert {name: there[name] for name in vlan("", 0)} == vlan(fabrics.two, 52)
    # Neither segment is another network's, and no site leaves its own or gets a second one.
    for taken in (vlan(fabrics.one, 51), vlan(fabrics.two, 52)):
        again = central.call("POST", "/v2.0/networks", {"network": {"name": "m", **taken}})
        assert again.refusal() == (409, "isthmus.refused.exists")
    assert share(central, "site1").status == 409
    second = share(central, "site1", fabrics.one, fabrics.two)
    assert second.refusal() == (409, "isthmus.refused.conflict")
    assert "would be a second one" in second.text
    drop(central, network)
    pair.settle()
    central.acknowledge_all("site2")
    assert site.get(f"networks/{network}").status == 404
    assert localnets(site_ovn, network) == []


def test_segments_that_no_site_or_one_site_twice_would_have_are_refused(
    central: CentralServer, fabrics: Fabrics
) -> None:
    central.clear_journal()
    one, two = vlan(fabrics.one, 53), vlan(fabrics.two, 54)
    for segments, zones, why in (
        ((one, vlan("nowhere", 53)), [], "that of no site"),
        ((one, vlan(fabrics.one, 55)), [], "that of two segments"),
        ((one, two), ["zone1"], f"{fabrics.two} is that of no site"),
        ((one, {"provider:network_type": "geneve"}), [], "unless each names the physical network"),
        ((one, {**two, "provider:segmentation_id": None}), [], "unless each names"),
    ):
        refused = make(central, *segments, availability_zone_hints=zones)
        assert refused.refusal() == (400, "isthmus.refused.invalid"), refused.text
        assert why in refused.text
    assert share(central, "site1", fabrics.one, fabrics.two).status == 200
    refused = make(central, one, two)
    assert refused.refusal() == (400, "isthmus.refused.invalid")
    assert "site site1 would have the segments on" in refused.text
    assert share(central, "site1", fabrics.one).status == 200
    assert not central.jobs("site1") | central.jobs("site2")


def test_a_segment_that_comes_later_brings_the_network_to_its_sites(
    pair: Pair, fabrics: Fabrics
) -> None:
    """As the stock client makes networks of several segments: one after the other."""
    central, site = pair.central, pair.site
    made = central.create("network", ADMIN, name="n", **vlan(fabrics.two, 56))
    network = made["id"]
    assert mapped(central, network) == ["site2"]
    other = central.create("network", ADMIN, name="o", **vlan(fabrics.one, 58))["id"]
    pair.settle()

    def add(**values: Any) -> Reply:
        body = {"network_id": network, "network_type": "vlan", **values}
        return central.call("POST", "/v2.0/segments", {"segment": body})

    central.clear_journal()
    for values, status, why in (
        ({"physical_network": "nowhere", "segmentation_id": 57}, 400, "that of no site"),
        ({"physical_network": fabrics.two, "segmentation_id": 57}, 400, "that of two segments"),
        ({"physical_network": fabrics.one, "segmentation_id": 58}, 409, other),
        ({"network_type": "geneve"}, 400, "keeps the segment"),
    ):
        refused = add(**values)
        assert refused.status == status, refused.text
        assert why in refused.text
    assert not central.jobs("site1") | central.jobs("site2")
    assert len(of(central, network)) == 1
    assert add(physical_network=fabrics.one, segmentation_id=57).status == 201
    assert mapped(central, network) == BOTH
    pair.settle()
    here = site.get(f"networks/{network}").only()
    assert {name: here[name] for name in vlan("", 0)} == vlan(fabrics.one, 57)
    items = central.bundle("site2", "network", network, project=made["project_id"])["items"]
    (there,) = by_type(items, "network")
    assert {name: there[name] for name in vlan("", 0)} == vlan(fabrics.two, 56)
    assert pair.renew() == []
    assert findings(pair, network) == []
    for one in (network, other):
        drop(central, one)
    pair.settle()
    central.acknowledge_all("site2")


class Routed:
    """A network with a subnet on the segment of each site."""

    def __init__(self, pair: Pair, fabrics: Fabrics) -> None:
        self.pair = pair
        self.user: User = tenant(uuid.uuid4().hex)
        segments = (vlan(fabrics.one, 61), vlan(fabrics.two, 62))
        made = make(pair.central, *segments, project_id=self.user.project).only()
        self.network = made["id"]
        by_physical = {one["physical_network"]: one["id"] for one in of(pair.central, made["id"])}
        self.segments = [by_physical[fabrics.one], by_physical[fabrics.two]]
        self.subnets = [
            pair.central.create(
                "subnet",
                ADMIN,
                network_id=self.network,
                cidr=f"10.6{number}.0.0/24",
                ip_version=4,
                segment_id=segment,
                project_id=self.user.project,
            )["id"]
            for number, segment in enumerate(self.segments)
        ]
        pair.settle()

    def at(self, port: dict[str, Any]) -> list[str]:
        return [one["subnet_id"] for one in port["fixed_ips"]]

    def forget(self) -> None:
        drop(self.pair.central, self.network)
        self.pair.settle()
        self.pair.central.acknowledge_all("site2")


@pytest.fixture
def routed(pair: Pair, fabrics: Fabrics) -> Iterator[Routed]:
    made = Routed(pair, fabrics)
    yield made
    made.forget()


def test_a_site_has_the_subnets_of_its_segment(routed: Routed) -> None:
    central, site = routed.pair.central, routed.pair.site
    mine, other = routed.subnets
    assert site.get(f"subnets/{mine}").status == 200
    assert site.get(f"subnets/{other}").status == 404
    assert mapped(central, mine) == ["site1"]
    assert mapped(central, other) == ["site2"]
    items = central.bundle("site2", "network", routed.network, project=routed.user.project)["items"]
    assert [one["id"] for one in by_type(items, "subnet")] == [other]
    leases = {one["pool_id"]: one for one in by_type(items, "lease") if one["kind"] == "subnet"}
    assert set(leases) == {other}
    # Changes go where the subnet is.
    central.clear_journal()
    for subnet in routed.subnets:
        body = {"subnet": {"name": "renamed"}}
        assert central.call("PUT", f"/v2.0/subnets/{subnet}", body).status == 200
    assert {one for _, one in central.jobs("site1", "subnet")} == {mine}
    assert {one for _, one in central.jobs("site2", "subnet")} == {other}
    routed.pair.settle()
    assert routed.pair.renew() == []
    assert findings(routed.pair, routed.network, mine, other) == []


def test_a_port_of_a_site_gets_addresses_of_its_segment(routed: Routed) -> None:
    central, site = routed.pair.central, routed.pair.site
    mine, other = routed.subnets
    port = site.create("port", routed.user, network_id=routed.network)
    assert routed.at(port) == [mine]
    host = {"port": {"binding:host_id": "host1"}}
    assert site.call("PUT", f"/v2.0/ports/{port['id']}", host).status == 200
    routed.pair.settle()
    shown = central.call("GET", f"/v2.0/ports/{port['id']}").only()
    assert shown["fixed_ips"] == port["fixed_ips"]
    assert shown["binding:host_id"] == "site1/host1"
    body = {"network_id": routed.network, "fixed_ips": [{"subnet_id": other}]}
    refused = site.call("POST", "/v2.0/ports", {"port": body}, routed.user)
    assert refused.status in {400, 404}, refused.text
    assert findings(routed.pair, port["id"]) == []
    assert site.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    routed.pair.settle()


def test_a_port_of_central_gets_its_address_where_it_is_bound(routed: Routed) -> None:
    central, site = routed.pair.central, routed.pair.site
    port = central.create("port", routed.user, network_id=routed.network)
    assert (port["fixed_ips"], port["ip_allocation"]) == ([], "deferred")
    here = site.get(f"ports/{port['id']}").only()
    assert (here["fixed_ips"], here["ip_allocation"]) == ([], "deferred")
    host = {"port": {"binding:host_id": "host1"}}
    bound = site.call("PUT", f"/v2.0/ports/{port['id']}", host).only()
    assert routed.at(bound) == routed.subnets[:1]
    routed.pair.settle()
    shown = central.call("GET", f"/v2.0/ports/{port['id']}").only()
    assert shown["fixed_ips"] == bound["fixed_ips"]
    assert findings(routed.pair, port["id"]) == []
    assert site.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    routed.pair.settle()


def test_a_port_with_an_address_of_another_segment_stays_away(routed: Routed) -> None:
    central, site = routed.pair.central, routed.pair.site
    body = {"network_id": routed.network, "fixed_ips": [{"subnet_id": routed.subnets[1]}]}
    port = central.create("port", routed.user, **body)
    assert ipaddress.ip_address(port["fixed_ips"][0]["ip_address"]) in ipaddress.ip_network(
        "10.61.0.0/24"
    )
    answer = central.bundle("site1", "port", port["id"], project=routed.user.project)
    (refused,) = answer["refused"]
    assert refused["code"] == "isthmus.refused.conflict", refused
    assert "segment that site site1 does not have" in refused["message"]
    assert mapped(central, port["id"]) == []
    # The site shows it as central does, and does not get it.
    host = {"port": {"binding:host_id": "host1"}}
    assert site.call("PUT", f"/v2.0/ports/{port['id']}", host).status in {404, 409}
    assert mapped(central, port["id"]) == []
    assert central.bundle("site2", "port", port["id"], project=routed.user.project)["items"]
    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    routed.pair.settle()


def test_addresses_by_mac_are_those_of_the_segment(routed: Routed) -> None:
    """Every tier derives them itself, from the subnets of the port's site."""
    central, site = routed.pair.central, routed.pair.site
    auto = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}

    def add(number: int, prefix: str) -> Reply:
        body = {"network_id": routed.network, "segment_id": routed.segments[number], **auto}
        body["project_id"] = routed.user.project
        return central.call("POST", "/v2.0/subnets", {"subnet": {**body, "cidr": prefix}})

    mine = add(0, "fd00:61::/64").only()["id"]
    other = add(1, "fd00:62::/64").only()["id"]
    routed.pair.settle()
    assert site.get(f"subnets/{other}").status == 404
    host = {"port": {"binding:host_id": "host1"}}
    made = site.create("port", routed.user, network_id=routed.network)
    given = central.create("port", routed.user, network_id=routed.network)
    for port in (made, given):
        bound = site.call("PUT", f"/v2.0/ports/{port['id']}", host).only()
        assert set(routed.at(bound)) == {routed.subnets[0], mine}
        routed.pair.settle()
        shown = central.call("GET", f"/v2.0/ports/{port['id']}").only()
        assert sorted(map(str, shown["fixed_ips"])) == sorted(map(str, bound["fixed_ips"]))
    assert routed.pair.renew() == []
    assert findings(routed.pair, made["id"], given["id"]) == []
    late = add(0, "fd00:63::/64")
    assert late.refusal() == (409, "isthmus.refused.conflict"), late.text
    assert "has ports at site site1" in late.text
    assert add(1, "fd00:64::/64").status == 201
    for port in (made, given):
        assert site.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    routed.pair.settle()


def test_a_router_is_where_the_segments_of_its_interfaces_are(routed: Routed) -> None:
    central = routed.pair.central
    anywhere = central.create("router", routed.user, name="r")["id"]
    local = central.create("router", routed.user, name="l", availability_zone_hints=["zone1"])["id"]

    def join(router: str, subnet: str, word: str = "add") -> Reply:
        path = f"/v2.0/routers/{router}/{word}_router_interface"
        return central.call("PUT", path, {"subnet_id": subnet}, routed.user)

    mine, other = routed.subnets
    refused = join(anywhere, mine)
    assert refused.refusal() == (409, "isthmus.refused.conflict"), refused.text
    assert "at sites site1, site2" in refused.text
    refused = join(local, other)
    assert refused.refusal() == (409, "isthmus.refused.conflict"), refused.text
    assert "on a segment that the site does not have" in refused.text
    assert join(local, mine).status == 200
    routed.pair.settle()
    assert routed.pair.site.get(f"routers/{local}").status == 200
    assert findings(routed.pair, local) == []
    assert join(local, mine, "remove").status == 200
    for one in (anywhere, local):
        assert central.call("DELETE", f"/v2.0/routers/{one}").status == 204
    routed.pair.settle()


def test_what_cannot_be_on_a_segment_is_refused(routed: Routed) -> None:
    central = routed.pair.central
    external = {"network": {"router:external": True}}
    refused = central.call("PUT", f"/v2.0/networks/{routed.network}", external)
    assert refused.refusal() == (409, "isthmus.refused.conflict")
    assert "cannot be external" in refused.text
    tunnelled = central.create("network", ADMIN, name="t")["id"]
    (segment,) = of(central, tunnelled)
    body = {"cidr": "10.64.0.0/24", "ip_version": 4}
    on = {"network_id": tunnelled, "segment_id": segment["id"], **body}
    refused = central.call("POST", "/v2.0/subnets", {"subnet": on})
    assert refused.refusal() == (400, "isthmus.refused.invalid")
    assert "a tunnelled network is one segment" in refused.text
    assert central.call("GET", f"/v2.0/subnets?network_id={tunnelled}").only() == []
    drop(central, tunnelled)
    # As Neutron has it: all subnets are on segments, or none.
    beside = central.call(
        "POST", "/v2.0/subnets", {"subnet": {"network_id": routed.network, **body}}
    )
    assert beside.status == 400, beside.text
