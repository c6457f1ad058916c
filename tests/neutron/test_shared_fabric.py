"""Provider networks over a fabric that sites share: at each of them, with the same segment."""

import ipaddress
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.local_server import LocalServer
from tests.neutron.server import Reply, tenant
from tests.neutron.test_central_report import born, item
from tests.neutron.test_own_networks import findings
from tests.neutron.test_provider_networks import ask, localnets
from tests.neutron.test_renewal import Pair
from tests.neutron.test_trunks import mapped

from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron

ID = "provider:segmentation_id"
BOTH = ["site1", "site2"]
#: Where the port of site2 is.
FAR = {"chassis": "far-chassis", "hostname": "far-host", "encap_ip": "198.51.100.2"}


#: Physical networks that site1 knows, each for one test.
FABRICS = [f"fabric{number}" for number in range(10)]
_UNUSED = iter(FABRICS)
SITE1_SECTIONS = {"ml2_type_vlan": {"network_vlan_ranges": ",".join(FABRICS)}}


@pytest.fixture(scope="module")
def pair(central: CentralServer, site1: LocalServer) -> Pair:
    return Pair(central, site1)


def share(central: CentralServer, site: str, *fabrics: str) -> Reply:
    return central.call("PUT", f"/v2.0/sites/{site}", {"site": {"fabrics": list(fabrics)}})


@pytest.fixture
def physical(central: CentralServer) -> Iterator[str]:
    """A fabric that both sites share; its networks have to be gone when the test ends."""
    name = next(_UNUSED)
    for site in BOTH:
        assert share(central, site, name).only()["fabrics"] == [name]
    yield name
    for site in BOTH:
        assert share(central, site).status == 200


def drop(central: CentralServer, network_id: str) -> None:
    reply = central.call("DELETE", f"/v2.0/networks/{network_id}")
    assert reply.status == 204, reply.text


def lsp(ovn: OvnDatabases, name: str, column: str) -> str:
    return ovn.nbctl("--bare", f"--columns={column}", "list", "Logical_Switch_Port", name).strip()


def test_a_network_is_at_every_site_that_shares_its_fabric(
    pair: Pair, site_ovn: OvnDatabases, physical: str
) -> None:
    central, site = pair.central, pair.site
    network = ask(central, physical, []).only()
    assert mapped(central, network["id"]) == BOTH
    pair.settle()
    here = site.get(f"networks/{network['id']}").only()
    assert here["provider:network_type"] == "flat"
    assert here["provider:physical_network"] == physical
    (row,) = localnets(site_ovn, network["id"])
    assert (row["options"]["network_name"], row["tag"]) == (physical, ["set", []])
    assert findings(pair, network["id"], row["name"]) == []
    # It is one segment, whichever site's hint names it.
    for zones in ([], ["zone1"], ["zone2"], ["zone1", "zone2"]):
        assert ask(central, physical, zones).refusal() == (409, "isthmus.refused.exists")
    drop(central, network["id"])
    pair.settle()
    assert site.get(f"networks/{network['id']}").status == 404
    assert localnets(site_ovn, network["id"]) == []


def test_hints_keep_a_network_at_one_site_and_its_segment_is_taken_at_all(
    pair: Pair, physical: str
) -> None:
    central = pair.central
    one = ask(central, physical, ["zone2"], **{ID: 41}).only()["id"]
    assert mapped(central, one) == ["site2"]
    taken = ask(central, physical, ["zone1"], **{ID: 41})
    assert taken.refusal() == (409, "isthmus.refused.exists")
    body = {"site_presence": {"network_id": one, "site": "site1"}}
    assert central.call("POST", "/v2.0/site-presences", body).status == 409
    both = ask(central, physical, ["zone1", "zone2"], **{ID: 42}).only()["id"]
    assert mapped(central, both) == BOTH
    for network in (one, both):
        drop(central, network)
    pair.settle()


def test_a_site_that_comes_to_a_fabric_gets_its_networks_on_demand(pair: Pair) -> None:
    central = pair.central
    physical = next(_UNUSED)
    assert share(central, "site1", physical).status == 200
    user = tenant(uuid.uuid4().hex)
    network = ask(central, physical, [], **{ID: 43, "project_id": user.project}).only()["id"]
    assert mapped(central, network) == ["site1"]
    body = {"site_presence": {"network_id": network, "site": "site2"}}
    refused = central.call("POST", "/v2.0/site-presences", body)
    assert refused.refusal() == (409, "isthmus.refused.conflict")
    assert "which site2 does not share" in refused.text
    # A network of its own on the same VLAN would be the same one then.
    other = ask(central, physical, ["zone2"], **{ID: 43}).only()["id"]
    refused = share(central, "site2", physical)
    assert refused.refusal() == (409, "isthmus.refused.exists")
    assert network in refused.text
    assert other in refused.text
    drop(central, other)
    central.acknowledge_all("site2")
    assert share(central, "site2", physical).status == 200
    assert central.bundle("site2", "network", network, project=user.project)["items"]
    assert mapped(central, network) == BOTH
    # Neither leaves the fabric while networks are over it.
    for site in BOTH:
        refused = share(central, site)
        assert refused.status == 409, refused.text
        assert f"is on fabric {physical} at sites site1, site2" in refused.text
    drop(central, network)
    pair.settle()
    central.acknowledge_all("site2")
    for site in BOTH:
        assert share(central, site).status == 200


@pytest.mark.parametrize("fabrics", ["x", [""], [7], ["y" * 65], ["z"] * 65])
def test_fabrics_that_are_none_are_refused(central: CentralServer, fabrics: Any) -> None:
    body = {"site": {"fabrics": fabrics}}
    reply = central.call("PUT", "/v2.0/sites/site1", body)
    assert reply.refusal() == (400, "isthmus.refused.invalid")


def test_a_port_of_the_other_site_is_known_and_reached_over_the_fabric(
    pair: Pair, site_ovn: OvnDatabases, physical: str
) -> None:
    central, site = pair.central, pair.site
    user = tenant(uuid.uuid4().hex)
    more = {ID: 44, "project_id": user.project}
    network = ask(central, physical, [], **more).only()["id"]
    subnet = central.create("subnet", user, network_id=network, cidr="10.44.0.0/24", ip_version=4)
    pair.settle()
    mine = site.create("port", user, network_id=network)
    pair.settle()
    items = central.bundle("site2", "network", network, project=user.project)["items"]
    leases = {one["kind"]: one for one in by_type(items, "lease")}
    groups = [one["id"] for one in by_type(items, "security_group")]
    place = {"network_id": network, "project_id": user.project}
    first = str(ipaddress.IPv4Address(int(leases["subnet"]["first"])))
    port = born(place, subnet["id"], first, groups, int(leases["port_key"]["first"]))
    port["isthmus:location"] = {**port["isthmus:location"], **FAR}
    port["mac_address"] = port["mac_address"].replace("fa:16:01", "fa:16:02")
    (answer,) = central.report("site2", item(port))
    assert answer["code"] == "", answer
    pair.settle()
    until(lambda: lsp_exists(site_ovn, port["id"]), what="the other site's port", timeout_s=120)
    assert lsp(site_ovn, port["id"], "type") == "remote"
    assert "requested-chassis" not in lsp(site_ovn, port["id"], "options")
    assert port["fixed_ips"][0]["ip_address"] in lsp(site_ovn, port["id"], "addresses")
    # Rules that name the group know its address.
    group = port["security_groups"][0].replace("-", "_")
    uuids = site_ovn.nbctl("--bare", "--columns=ports", "list", "Port_Group", f"pg_{group}")
    assert lsp(site_ovn, port["id"], "_uuid") in uuids.split()
    assert lsp(site_ovn, mine["id"], "_uuid") in uuids.split()
    bound = site_ovn.sbctl(
        "--bare", "--columns=chassis", "find", "Port_Binding", f"logical_port={port['id']}"
    )
    assert not bound.strip(), "no tunnel is for it"
    assert findings(pair, port["id"]) == []
    assert site.call("DELETE", f"/v2.0/ports/{mine['id']}").status == 204
    central.report("site2", item(port, gone=True))
    pair.settle()
    drop(central, network)
    pair.settle()
    until(lambda: not lsp_exists(site_ovn, port["id"]), what="it is gone")


def test_an_address_of_a_subnet_that_has_yet_to_come_is_asked_for(
    pair: Pair, physical: str
) -> None:
    """The network is there ahead of use, and the site fetches its subnet as a port names it."""
    central, site = pair.central, pair.site
    user = tenant(uuid.uuid4().hex)
    network = ask(central, physical, [], **{ID: 46, "project_id": user.project}).only()["id"]
    pair.settle()
    subnet = central.create("subnet", user, network_id=network, cidr="10.46.0.0/24", ip_version=4)
    wanted = [{"subnet_id": subnet["id"], "ip_address": "10.46.0.201"}]
    port = site.create("port", user, network_id=network, fixed_ips=wanted)
    assert port["fixed_ips"] == wanted
    assert site.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    pair.settle()
    drop(central, network)
    pair.settle()


def lsp_exists(ovn: OvnDatabases, name: str) -> bool:
    words = ("--bare", "--columns=name", "find", "Logical_Switch_Port", f"name={name}")
    return bool(ovn.nbctl(*words).strip())


def test_no_router_answers_at_two_sites_of_a_fabric(pair: Pair, physical: str) -> None:
    central = pair.central
    user = tenant(uuid.uuid4().hex)
    more = {ID: 45, "project_id": user.project}
    network = ask(central, physical, [], **more).only()["id"]
    subnet = central.create("subnet", user, network_id=network, cidr="10.45.0.0/24", ip_version=4)
    router = central.create("router", user, name="r")["id"]
    pair.settle()
    joins = f"/v2.0/routers/{router}/add_router_interface"
    refused = central.call("PUT", joins, {"subnet_id": subnet["id"]}, user)
    assert refused.refusal() == (409, "isthmus.refused.conflict")
    assert "at sites site1, site2, which share its fabric" in refused.text
    # One that is for one site answers there alone.
    local = central.create("router", user, name="l", availability_zone_hints=["zone1"])["id"]
    joins = f"/v2.0/routers/{local}/add_router_interface"
    assert central.call("PUT", joins, {"subnet_id": subnet["id"]}, user).status == 200
    pair.settle()
    leaves = f"/v2.0/routers/{local}/remove_router_interface"
    assert central.call("PUT", leaves, {"subnet_id": subnet["id"]}, user).status == 200
    for one in (router, local):
        assert central.call("DELETE", f"/v2.0/routers/{one}").status == 204
    drop(central, network)
    pair.settle()
