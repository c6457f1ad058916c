"""Nobody but central changes what is central's, by whichever of Neutron's ways."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Reply, User, tenant

pytestmark = pytest.mark.neutron


@dataclass(frozen=True)
class Place:
    """Central's objects at a site."""

    site: LocalServer
    owner: User
    network: str
    subnet: str
    group: str
    rule: str
    addresses: str
    policy: str
    port: str
    segment: str

    def post(self, path: str, body: Any, user: User) -> Reply:
        return self.site.call("POST", f"/v2.0/{path}", body, user)

    def put(self, path: str, body: Any, user: User) -> Reply:
        return self.site.call("PUT", f"/v2.0/{path}", body, user)

    def delete(self, path: str, user: User) -> Reply:
        return self.site.call("DELETE", f"/v2.0/{path}", user=user)


@pytest.fixture(scope="module")
def place(central: CentralServer, site1: LocalServer) -> Place:
    owner = tenant(uuid.uuid4().hex)
    network = central.create("network", owner, name="n")
    subnet = central.create(
        "subnet", owner, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    group = central.create("security_group", owner, name="g")
    addresses = central.create("address_group", owner, name="a", addresses=["192.0.2.1/32"])
    rule = central.create(
        "security_group_rule",
        owner,
        security_group_id=group["id"],
        direction="ingress",
        remote_address_group_id=addresses["id"],
    )
    policy = central.create(
        "rbac_policy",
        owner,
        object_type="security_group",
        object_id=group["id"],
        target_tenant=uuid.uuid4().hex,
        action="access_as_shared",
    )
    port = site1.create("port", owner, network_id=network["id"], security_groups=[group["id"]])
    (segment,) = site1.get(f"segments?network_id={network['id']}").only()
    return Place(
        site1,
        owner,
        network["id"],
        subnet["id"],
        group["id"],
        rule["id"],
        addresses["id"],
        policy["id"],
        port["id"],
        segment["id"],
    )


def _rule(place: Place, port: int) -> dict[str, Any]:
    return {
        "security_group_id": place.group,
        "direction": "ingress",
        "protocol": "tcp",
        "port_range_min": port,
        "port_range_max": port,
    }


def _subnet(place: Place, cidr: str) -> dict[str, Any]:
    return {"network_id": place.network, "cidr": cidr, "ip_version": 4}


def _share(place: Place, kind: str, one: str) -> dict[str, Any]:
    return {
        "object_type": kind,
        "object_id": one,
        "target_tenant": uuid.uuid4().hex,
        "action": "access_as_shared",
    }


#: Every way of Neutron's API to change a network, subnet, group or address group.
_WAYS: dict[str, Callable[[Place, User], Reply]] = {
    "network": lambda p, u: p.put(f"networks/{p.network}", {"network": {"name": "x"}}, u),
    "network description": lambda p, u: p.put(
        f"networks/{p.network}", {"network": {"description": "x"}}, u
    ),
    "network gone": lambda p, u: p.delete(f"networks/{p.network}", u),
    "subnet": lambda p, u: p.put(f"subnets/{p.subnet}", {"subnet": {"dns_nameservers": []}}, u),
    "subnet pools": lambda p, u: p.put(
        f"subnets/{p.subnet}",
        {"subnet": {"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.10"}]}},
        u,
    ),
    "subnet gone": lambda p, u: p.delete(f"subnets/{p.subnet}", u),
    "new subnet": lambda p, u: p.post("subnets", {"subnet": _subnet(p, "10.1.0.0/24")}, u),
    "new subnets": lambda p, u: p.post(
        "subnets", {"subnets": [_subnet(p, "10.2.0.0/24"), _subnet(p, "10.3.0.0/24")]}, u
    ),
    "group": lambda p, u: p.put(f"security-groups/{p.group}", {"security_group": {"name": "x"}}, u),
    "group gone": lambda p, u: p.delete(f"security-groups/{p.group}", u),
    "rule": lambda p, u: p.post("security-group-rules", {"security_group_rule": _rule(p, 22)}, u),
    "rules": lambda p, u: p.post(
        "security-group-rules", {"security_group_rules": [_rule(p, 23), _rule(p, 24)]}, u
    ),
    "rule gone": lambda p, u: p.delete(f"security-group-rules/{p.rule}", u),
    "address group": lambda p, u: p.put(
        f"address-groups/{p.addresses}", {"address_group": {"name": "x"}}, u
    ),
    "addresses": lambda p, u: p.put(
        f"address-groups/{p.addresses}/add_addresses",
        {"addresses": ["198.51.100.1/32"]},
        u,
    ),
    "addresses gone": lambda p, u: p.put(
        f"address-groups/{p.addresses}/remove_addresses",
        {"addresses": ["192.0.2.1/32"]},
        u,
    ),
    "address group gone": lambda p, u: p.delete(f"address-groups/{p.addresses}", u),
    "share": lambda p, u: p.post(
        "rbac-policies", {"rbac_policy": _share(p, "security_group", p.group)}, u
    ),
    "share of a network": lambda p, u: p.post(
        "rbac-policies", {"rbac_policy": _share(p, "network", p.network)}, u
    ),
    "share of an address group": lambda p, u: p.post(
        "rbac-policies", {"rbac_policy": _share(p, "address_group", p.addresses)}, u
    ),
    "share gone": lambda p, u: p.delete(f"rbac-policies/{p.policy}", u),
    "tags": lambda p, u: p.put(f"networks/{p.network}/tags", {"tags": ["x"]}, u),
    "tag": lambda p, u: p.put(f"subnets/{p.subnet}/tags/x", None, u),
    "tags of a group": lambda p, u: p.put(f"security-groups/{p.group}/tags", {"tags": ["x"]}, u),
    "tags of a port": lambda p, u: p.put(f"ports/{p.port}/tags", {"tags": ["x"]}, u),
}
#: Ways that Neutron's policy gives to administrators only.
_ADMINS: dict[str, Callable[[Place, User], Reply]] = {
    "segment": lambda p, u: p.post(
        "segments",
        {
            "segment": {
                "network_id": p.network,
                "network_type": "vlan",
                "physical_network": "physnet1",
                "segmentation_id": 101,
            }
        },
        u,
    ),
    "segment named": lambda p, u: p.put(f"segments/{p.segment}", {"segment": {"name": "x"}}, u),
    "segment described": lambda p, u: p.put(
        f"segments/{p.segment}", {"segment": {"description": "x"}}, u
    ),
    "external": lambda p, u: p.put(
        f"networks/{p.network}", {"network": {"router:external": True}}, u
    ),
    "shared": lambda p, u: p.put(f"networks/{p.network}", {"network": {"shared": True}}, u),
}


def _state(place: Place) -> dict[str, Any]:
    """Give all that the ways could change."""
    skipped = ("revision_number", "updated_at", "tenant_id")  # Neutron shows that one at times
    paths = (
        f"networks/{place.network}",
        f"subnets?network_id={place.network}",
        f"security-groups/{place.group}",
        f"address-groups/{place.addresses}",
        f"segments?network_id={place.network}",
        f"rbac-policies?object_id={place.group}",
    )
    found = {path: place.site.get(path).only() for path in paths}
    for value in found.values():
        for one in value if isinstance(value, list) else [value]:
            for name in skipped:
                one.pop(name, None)
    return found


def _lines(state: dict[str, Any]) -> set[str]:
    """Give a state piece by piece, so that a difference shows."""
    return {
        f"{path} {key} {value}"
        for path, found in state.items()
        for one in (found if isinstance(found, list) else [found])
        for key, value in one.items()
    }


@pytest.mark.parametrize("way", [*_WAYS, *_ADMINS])
@pytest.mark.parametrize("who", ["owner", "admin"])
def test_no_way_leads_to_a_change_of_centrals_objects(place: Place, way: str, who: str) -> None:
    if way in _ADMINS and who == "owner":
        pytest.skip("Neutron's policy refuses it already")
    before = _state(place)
    user = place.owner if who == "owner" else ADMIN
    reply = {**_WAYS, **_ADMINS}[way](place, user)
    assert reply.status == 409, reply.text
    assert "change it at central" in reply.text
    assert _lines(_state(place)) - _lines(before) == set()


def test_what_is_the_sites_own_may_be_changed_in_all_these_ways(site1: LocalServer) -> None:
    owner = tenant(uuid.uuid4().hex)
    network = site1.create("network", owner, name="own")
    subnet = site1.create(
        "subnet", owner, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    group = site1.create("security_group", owner, name="own")
    port = site1.create("port", owner, network_id=network["id"], security_groups=[group["id"]])
    addresses = site1.create("address_group", owner, name="own", addresses=["192.0.2.1/32"])
    rules = [
        {"security_group_id": group["id"], "direction": "ingress", "protocol": one}
        for one in ("tcp", "udp")
    ]
    made = site1.call(
        "POST", "/v2.0/security-group-rules", {"security_group_rules": rules}, owner
    ).only()
    assert site1.delete("security_group_rule", made[0]["id"], owner).status == 204
    for kind, one in (
        ("network", network),
        ("subnet", subnet),
        ("port", port),
        ("security-group", group),
    ):
        path = f"/v2.0/{kind}s/{one['id']}"
        assert site1.call("PUT", f"{path}/tags", {"tags": ["x"]}, owner).status == 200
        assert site1.call("DELETE", f"{path}/tags", user=owner).status == 204
    described = site1.update("network", network["id"], owner, description="mine")
    assert described.only()["description"] == "mine"
    shared = site1.create(
        "rbac_policy",
        owner,
        object_type="network",
        object_id=network["id"],
        target_tenant=uuid.uuid4().hex,
        action="access_as_shared",
    )
    assert site1.call("DELETE", f"/v2.0/rbac-policies/{shared['id']}", user=owner).status == 204
    assert site1.delete("port", port["id"], owner).status == 204
    assert site1.delete("subnet", subnet["id"], owner).status == 204
    assert site1.delete("network", network["id"], owner).status == 204
    assert site1.delete("address_group", addresses["id"], owner).status == 204
    assert site1.delete("security_group", group["id"], owner).status == 204
