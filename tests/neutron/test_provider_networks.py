"""Provider networks of central: on the fabric of one site, which has them as they are."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Reply, tenant
from tests.neutron.test_own_networks import findings
from tests.neutron.test_renewal import Pair
from tests.neutron.test_trunks import mapped

from isthmus.model.dataplane.ovn import LOCALNET_KEY
from isthmus.testing.ovn import OvnDatabases
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


@pytest.fixture(scope="module")
def pair(central: CentralServer, site1: LocalServer) -> Pair:
    return Pair(central, site1)


def ask(central: CentralServer, physical: str, zones: list[str], **more: Any) -> Reply:
    """Ask central for a flat network, or a VLAN one where an id is given."""
    body: dict[str, Any] = {
        "name": "ext",
        "provider:network_type": "vlan" if "provider:segmentation_id" in more else "flat",
        "provider:physical_network": physical,
        **({"availability_zone_hints": zones} if zones else {}),
        **more,
    }
    return central.call("POST", "/v2.0/networks", {"network": body}, ADMIN)


def localnets(ovn: OvnDatabases, network_id: str) -> list[dict[str, Any]]:
    """Give the rows by which a network is on the fabric."""
    found = ovn.nbctl(
        "--format=json", "--columns=ports", "find", "Logical_Switch", f"name=neutron-{network_id}"
    )
    rows = []
    for (cell,) in json.loads(found)["data"]:
        refs = cell[1] if cell[0] == "set" else [cell]
        for _, one in refs:
            text = ovn.nbctl(
                "--format=json",
                "--columns=name,type,options,tag",
                "list",
                "Logical_Switch_Port",
                one,
            )
            name, kind, options, tag = json.loads(text)["data"][0]
            if kind == "localnet":
                rows.append({"name": name, "options": dict(options[1]), "tag": tag})
    return rows


def test_an_external_network_is_at_the_site_that_it_names(
    pair: Pair, site_ovn: OvnDatabases
) -> None:
    central, site = pair.central, pair.site
    physical = f"p{uuid.uuid4().hex[:8]}"
    network = ask(central, physical, ["zone1"], **{"router:external": True}).only()
    subnet = central.create(
        "subnet",
        ADMIN,
        network_id=network["id"],
        cidr="172.31.1.0/29",
        ip_version=4,
        gateway_ip="172.31.1.1",
        enable_dhcp=False,
    )
    pair.settle()
    here = site.get(f"networks/{network['id']}").only()
    assert here["provider:network_type"] == "flat"
    assert here["provider:physical_network"] == physical
    assert here["router:external"] is True
    assert site.get(f"subnets/{subnet['id']}").only()["gateway_ip"] == "172.31.1.1"
    (row,) = localnets(site_ovn, network["id"])
    assert row["options"]["network_name"] == physical
    # Its addresses are central's to give out, down to the last one: .1 is the gateway's.
    leases = central.call("GET", f"/v2.0/site-leases?pool_id={subnet['id']}").only()
    assert {lease["site"] for lease in leases} <= {"central"}
    owner = {"device_owner": "network:floatingip", "network_id": network["id"]}
    ports = [central.create("port", ADMIN, **owner) for _ in range(5)]
    assert len({port["fixed_ips"][0]["ip_address"] for port in ports}) == 5
    assert central.call("POST", "/v2.0/ports", {"port": owner}).status == 409
    assert pair.renew() == []
    assert findings(pair, network["id"], row["name"]) == []
    # Another site's fabric may call its network the same; this site has it already.
    assert ask(central, physical, ["zone2"]).status == 201
    assert ask(central, physical, ["zone1"]).refusal() == (409, "isthmus.refused.exists")
    for port in ports:
        assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    assert central.call("DELETE", f"/v2.0/networks/{network['id']}").status == 204
    pair.settle()
    assert site.get(f"networks/{network['id']}").status == 404
    assert ask(central, physical, ["zone1"]).status == 201  # it is free again


def test_a_vlan_network_is_used_by_servers_of_its_site(pair: Pair, site_ovn: OvnDatabases) -> None:
    central, site = pair.central, pair.site
    user = tenant(uuid.uuid4().hex)
    more = {"provider:segmentation_id": 150, "project_id": user.project}
    network = ask(central, "physnet1", ["zone1"], **more).only()
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr="10.8.0.0/24", ip_version=4
    )
    port = site.create("port", user, network_id=network["id"])  # the site asks for what it lacks
    assert port["fixed_ips"]
    (row,) = localnets(site_ovn, network["id"])
    assert (row["options"]["network_name"], row["tag"]) == ("physnet1", 150)
    pair.settle()
    assert central.call("GET", f"/v2.0/ports/{port['id']}").only()["fixed_ips"] == port["fixed_ips"]
    # The key of the port to the fabric is none that a port of the network can get.
    words = ("--bare", "--columns=tunnel_key", "find", "Port_Binding", "type=localnet")
    until(
        lambda: set(site_ovn.sbctl(*words).split()) == {str(LOCALNET_KEY)},
        what="the key of the port to the fabric",
    )
    change = {"network": {"provider:segmentation_id": 151}}
    path = f"/v2.0/networks/{network['id']}"
    assert central.call("PUT", path, change).refusal() == (501, "isthmus.refused.unsupported")
    body = {"site_presence": {"network_id": network["id"], "site": "site2"}}
    refused = central.call("POST", "/v2.0/site-presences", body)
    assert refused.refusal() == (409, "isthmus.refused.conflict")
    assert "on the fabric of site site1" in refused.text
    # Nor does a router bring it along to where the other networks are that it joins.
    other = central.create("network", user, name="elsewhere")
    there = central.create("subnet", user, network_id=other["id"], cidr="10.9.0.0/24", ip_version=4)
    central.create("site_presence", ADMIN, network_id=other["id"], site="site2")
    router = central.create("router", user, name="r")
    joins = f"/v2.0/routers/{router['id']}/add_router_interface"
    assert central.call("PUT", joins, {"subnet_id": there["id"]}, user).status == 200
    refused = central.call("PUT", joins, {"subnet_id": subnet["id"]}, user)
    assert refused.refusal() == (409, "isthmus.refused.conflict")
    assert "on the fabric of site site1" in refused.text
    bundle = central.bundle("site2", "network", network["id"], project=user.project)
    assert bundle["items"] == []


@pytest.mark.parametrize("zones", [[], ["zone1", "zone2"]])
def test_a_provider_network_names_one_site(central: CentralServer, zones: list[str]) -> None:
    refused = ask(central, "public", zones, **{"router:external": True})
    assert refused.refusal() == (400, "isthmus.refused.invalid")
    assert "name one site's zone" in refused.text
    assert "site1, site2" in refused.text


def choose(central: CentralServer, **more: Any) -> Reply:
    """Ask central for a VLAN network of site1, whose VLAN it is to choose."""
    body = {
        "provider:network_type": "vlan",
        "availability_zone_hints": ["zone1"],
        "provider:physical_network": "public",
        **more,
    }
    return central.call("POST", "/v2.0/networks", {"network": body})


def vlan(reply: Reply) -> int:
    return int(reply.only()["provider:segmentation_id"])


def leave_free(central: CentralServer, *tags: int) -> None:
    """Let only some VLANs of the fabric be there to choose from."""
    with central.database() as connection:
        for value in (True, False):
            which = f"AND vlan_id IN ({', '.join(map(str, tags))})" if not value else ""
            connection.execute(
                sa.text(
                    f"UPDATE ml2_vlan_allocations SET allocated = {int(value)} "
                    f"WHERE physical_network = 'public' {which}"
                )
            )
        connection.commit()


def test_central_chooses_a_vlan_of_its_ranges(pair: Pair, site_ovn: OvnDatabases) -> None:
    central, site = pair.central, pair.site
    made = [choose(central), choose(central)]
    tags = [vlan(one) for one in made]
    assert len({*tags} & {*range(200, 300)}) == 2, "it chooses from what its operator gave it"
    pair.settle()
    there = site.get(f"networks/{made[0].only()['id']}").only()
    assert there["provider:segmentation_id"] == tags[0]
    (row,) = localnets(site_ovn, made[0].only()["id"])
    assert (row["options"]["network_name"], row["tag"]) == ("public", tags[0])
    # What a network has by name, at whichever site, is not chosen; what is free again is.
    named = ask(central, "public", ["zone2"], **{"provider:segmentation_id": 250})
    assert named.status == 201, named.text
    leave_free(central, 250, 251)
    last = choose(central)
    assert vlan(last) == 251
    assert choose(central).status == 503, "as ML2 answers where all are in use"
    for one in (named, last):
        assert central.call("DELETE", f"/v2.0/networks/{one.only()['id']}").status == 204
    again = [choose(central), choose(central)]
    assert {vlan(one) for one in again} == {250, 251}
    for one in (*made, *again):
        assert central.call("DELETE", f"/v2.0/networks/{one.only()['id']}").status == 204
    pair.settle()


def test_an_external_network_of_no_type_is_a_vlan_of_its_site_where_ml2_says_so(
    neutron_template: Path, tmp_path: Path
) -> None:
    central = CentralServer(
        tmp_path / "central", neutron_template, extra={"ml2": {"external_network_type": "vlan"}}
    )
    central.start()
    try:
        central.make_sites()
        body = {"name": "out", "router:external": True}
        nowhere = central.call("POST", "/v2.0/networks", {"network": body})
        assert nowhere.refusal() == (400, "isthmus.refused.invalid")
        assert "name one site's zone" in nowhere.text
        there = central.create("network", ADMIN, availability_zone_hints=["zone2"], **body)
        assert there["provider:network_type"] == "vlan"
        assert mapped(central, there["id"]) == ["site2"]
        bulk = [{**body, "availability_zone_hints": [zone]} for zone in ("zone1", "zone2")]
        made = central.call("POST", "/v2.0/networks", {"networks": bulk}).only()
        assert [mapped(central, one["id"]) for one in made] == [["site1"], ["site2"]]
        inside = central.create("network", ADMIN, name="in", **{"router:external": False})
        assert inside["provider:network_type"] == "geneve"
        assert mapped(central, inside["id"]) == []
    finally:
        central.kill()


def test_central_chooses_no_vlan_where_it_has_no_range(central: CentralServer) -> None:
    refused = choose(central, **{"provider:physical_network": "nowhere"})
    assert refused.status == 400
    assert "central has no network_vlan_ranges of 'nowhere'" in refused.text
    refused = choose(central, **{"provider:physical_network": None, "provider:segmentation_id": 7})
    assert refused.status == 400, refused.text
    for number in (0, 4095):
        assert ask(central, "x", ["zone1"], **{"provider:segmentation_id": number}).status == 400
