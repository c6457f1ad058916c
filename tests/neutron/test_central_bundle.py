"""What a site gets of a network, and who may cause it to get anything."""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.server import ADMIN, CARRIER, site_user, tenant

from isthmus.federation.identity import default_security_group_id

pytestmark = pytest.mark.neutron


def make_network(central: CentralServer, project: str, **more: Any) -> tuple[Any, Any]:
    user = tenant(project)
    network = central.create("network", user, name="n", **more)
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    return network, subnet


def test_a_bundle_holds_all_that_a_network_takes(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    network, subnet = make_network(central, project)
    bundle = central.bundle("site1", "network", network["id"], project=project)
    kinds = [item["type"] for item in bundle["items"]]
    assert kinds == sorted(
        kinds, key=["address_group", "security_group", "network", "lease", "subnet"].index
    )
    (state,) = by_type(bundle["items"], "network")
    assert state["id"] == network["id"]
    assert state["isthmus:datapath_key"] > 16711681
    assert by_type(bundle["items"], "subnet")[0]["id"] == subnet["id"]
    (group,) = by_type(bundle["items"], "security_group")
    assert group["id"] == default_security_group_id(project)
    leases = {one["kind"]: one for one in by_type(bundle["items"], "lease")}
    assert set(leases) == {"subnet", "port_key"}
    assert {one["site"] for one in leases.values()} == {"site1"}


def test_asking_again_gives_the_same_leases(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    first = central.bundle("site1", "network", network["id"], project=project)["items"]
    again = central.bundle("site1", "network", network["id"], project=project)["items"]
    assert by_type(first, "lease") == by_type(again, "lease")


def test_sites_get_different_numbers_of_one_network(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    held = []
    for site in ("site1", "site2"):
        items = central.bundle(site, "network", network["id"], project=project)["items"]
        (state,) = by_type(items, "network")
        held.append((state["isthmus:datapath_key"], by_type(items, "lease")))
    assert held[0][0] == held[1][0]
    for kind in ("subnet", "port_key"):
        blocks = [
            (int(one["first"]), int(one["last"]))
            for _, leases in held
            for one in leases
            if one["kind"] == kind
        ]
        (_, last), (first, _) = sorted(blocks)
        assert last < first


def test_a_stranger_gets_nothing_and_causes_nothing(central: CentralServer) -> None:
    network, _ = make_network(central, uuid.uuid4().hex)
    bundle = central.bundle("site1", "network", network["id"], project=uuid.uuid4().hex)
    assert bundle["items"] == []
    for path in ("site-presences?network_id=", "site-leases?pool_id="):
        assert central.call("GET", f"/v2.0/{path}{network['id']}").only() == []


def test_sharing_by_rbac_is_honoured(central: CentralServer) -> None:
    owner, guest = uuid.uuid4().hex, uuid.uuid4().hex
    network, _ = make_network(central, owner)
    central.create(
        "rbac_policy",
        tenant(owner),
        object_type="network",
        object_id=network["id"],
        action="access_as_shared",
        target_tenant=guest,
    )
    items = central.bundle("site1", "network", network["id"], project=guest)["items"]
    (state,) = by_type(items, "network")
    assert [one["target_project"] for one in state["isthmus:rbac"]] == [guest]
    assert {one["id"] for one in by_type(items, "security_group")} == {
        default_security_group_id(owner),
        default_security_group_id(guest),
    }


def test_hints_keep_a_network_away(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    network, _ = make_network(central, project, availability_zone_hints=["zone2"])
    bundle = central.bundle("site1", "network", network["id"], project=project)
    assert bundle["items"] == []
    assert bundle["refused"][0]["code"] == "isthmus.refused.conflict"
    assert "zone2" in bundle["refused"][0]["message"]
    assert central.bundle("site2", "network", network["id"], project=project)["items"]
    shown = central.call("GET", f"/v2.0/networks/{network['id']}").only()
    assert shown["availability_zones"] == ["zone2"]


def test_an_unknown_hint_is_refused(central: CentralServer) -> None:
    body = {"network": {"name": "n", "availability_zone_hints": ["nowhere"]}}
    reply = central.call("POST", "/v2.0/networks", body)
    assert reply.refusal() == (404, "AvailabilityZoneNotFound")


def test_zones_are_those_of_sites(central: CentralServer) -> None:
    zones = central.call("GET", "/v2.0/availability_zones").only()
    found = {(zone["name"], zone["resource"], zone["state"]) for zone in zones}
    assert ("zone1", "network", "available") in found
    assert ("zone2", "router", "available") in found


def test_a_port_brings_its_network_and_comes_home(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    port = central.create("port", tenant(project), network_id=network["id"], name="p")
    items = central.bundle("site1", "port", port["id"], project=project)["items"]
    assert items[-1]["type"] == "port"
    assert items[-1]["state"]["fixed_ips"] == port["fixed_ips"]
    path = f"/v2.0/site-mappings?resource_id={port['id']}"
    assert [row["site"] for row in central.call("GET", path).only()] == ["site1"]


def test_remote_groups_come_along(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    groups = [central.create("security_group", user, name=f"g{n}") for n in range(3)]
    addresses = central.create("address_group", user, name="a", addresses=["192.0.2.0/24"])
    for one, other in ((groups[0], groups[1]), (groups[1], groups[2])):
        central.create(
            "security_group_rule",
            user,
            security_group_id=one["id"],
            remote_group_id=other["id"],
            direction="ingress",
            ethertype="IPv4",
        )
    central.create(
        "security_group_rule",
        user,
        security_group_id=groups[2]["id"],
        remote_address_group_id=addresses["id"],
        direction="ingress",
        ethertype="IPv4",
    )
    items = central.bundle("site1", "security_group", groups[0]["id"], project=project)["items"]
    assert {one["id"] for one in by_type(items, "security_group")} == {one["id"] for one in groups}
    assert [one["id"] for one in by_type(items, "address_group")] == [addresses["id"]]


def test_only_a_site_speaks_for_a_site(central: CentralServer) -> None:
    body = {"site_bundle": {"type": "network", "ids": ["x"]}}
    for user in (ADMIN, CARRIER, tenant("t"), tenant("isthmus-site1")):
        assert central.call("POST", "/v2.0/site-bundles", body, user).status == 403
    assert central.call("POST", "/v2.0/site-bundles", body, site_user("unheard")).refusal() == (
        404,
        "isthmus.refused.not_found",
    )


def test_slaac_subnets_lease_nothing(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    network = central.create("network", user, name="six")
    modes: tuple[dict[str, str], ...] = (
        {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"},
        {"ipv6_address_mode": "dhcpv6-stateful", "ipv6_ra_mode": "dhcpv6-stateful"},
    )
    subnets = [
        central.create(
            "subnet",
            user,
            network_id=network["id"],
            cidr=f"2001:db8:{number}::/64",
            ip_version=6,
            **mode,
        )
        for number, mode in enumerate(modes)
    ]
    items = central.bundle("site1", "network", network["id"], project=project)["items"]
    pools = {one["pool_id"] for one in by_type(items, "lease")}
    assert pools == {network["id"], subnets[1]["id"]}
