"""What a person names at a site that only central knows."""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, tenant

from isthmus.federation.identity import default_security_group_id

pytestmark = pytest.mark.neutron

#: What central did not know is remembered for longer than a test takes.
SITE1_OPTIONS = {"miss_ttl_s": 3600}


def make_network(central: CentralServer, project: str, **more: Any) -> tuple[Any, Any, Any]:
    user = tenant(project)
    network = central.create("network", user, name="n", **more)
    four = central.create(
        "subnet",
        user,
        network_id=network["id"],
        cidr="10.0.0.0/24",
        ip_version=4,
        dns_nameservers=["192.0.2.53"],
        host_routes=[{"destination": "198.51.100.0/24", "nexthop": "10.0.0.9"}],
        allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.200"}],
    )
    six = central.create(
        "subnet",
        user,
        network_id=network["id"],
        cidr="fd00:1::/64",
        ip_version=6,
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
    )
    return network, four, six


def test_a_first_use_makes_the_same_network_here(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    project = uuid.uuid4().hex
    network, four, six = make_network(central, project)
    before = site1.wan.asked()
    found = site1.get(f"networks?id={network['id']}", tenant(project)).only()
    assert [one["id"] for one in found] == [network["id"]]
    assert site1.wan.asked() == before + 1
    admin_here = site1.get(f"networks/{network['id']}").only()
    admin_there = central.call("GET", f"/v2.0/networks/{network['id']}").only()
    for name in ("mtu", "provider:network_type", "project_id"):
        assert admin_here[name] == admin_there[name]
    for subnet in (four, six):
        here = site1.get(f"subnets/{subnet['id']}", tenant(project)).only()
        for name in ("cidr", "gateway_ip", "allocation_pools", "dns_nameservers", "host_routes"):
            assert here[name] == subnet[name], name
        assert here["ipv6_address_mode"] == subnet["ipv6_address_mode"]
    assert site1.wan.asked() == before + 1
    switch = site1.ovn.nbctl("get", "Logical_Switch", f"neutron-{network['id']}", "other_config")
    (row,) = [r for r in site1.rows("isthmus_datapaths") if r["network_id"] == network["id"]]
    assert f'requested-tnl-key="{row["datapath_key"]}"' in switch


@pytest.mark.parametrize("kind", ["geneve", "vxlan"])
def test_a_segmentation_id_in_use_here_keeps_no_network_away(
    kind: str, central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    network = central.create(
        "network", ADMIN, project_id=project, **{"provider:network_type": kind}
    )
    central.create(
        "subnet", tenant(project), network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    taken = {"provider:network_type": kind, "provider:segmentation_id": _segment(network)}
    own = site1.create("network", ADMIN, name="the site's own", **taken)
    port = site1.create("port", tenant(project), network_id=network["id"])

    assert port["fixed_ips"]
    here = site1.get(f"networks/{network['id']}").only()
    assert here["provider:network_type"] == kind
    assert _segment(here) != _segment(own) == _segment(network)


def _segment(network: Any) -> int:
    return int(network["provider:segmentation_id"])


def test_another_tenant_gets_404_and_nothing_comes(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    project = uuid.uuid4().hex
    network, four, _ = make_network(central, project)
    port = central.create("port", tenant(project), network_id=network["id"])
    stranger = tenant(uuid.uuid4().hex)
    for path in ("networks/" + network["id"], "subnets/" + four["id"], "ports/" + port["id"]):
        assert site1.get(path, stranger).status == 404
    assert site1.get(f"networks?id={network['id']}", stranger).only() == []
    assert site1.try_create("port", stranger, network_id=network["id"]).status == 404
    assert network["id"] not in {row["id"] for row in site1.rows("networks")}
    assert network["id"] not in {row["resource_id"] for row in site1.rows("isthmus_site_mappings")}
    with central.database() as connection:
        leased = connection.exec_driver_sql(
            "SELECT count(*) FROM isthmus_leases WHERE site='site1' AND pool_id IN (?, ?)",
            (network["id"], four["id"]),
        ).scalar()
    assert leased == 0
    # Nor does it help that the owner uses the network here.
    assert site1.get("networks/" + network["id"], tenant(project)).status == 200
    before = site1.wan.count("bundles")
    assert site1.get("networks/" + network["id"], stranger).status == 404
    assert site1.wan.count("bundles") == before


def test_what_central_does_not_know_is_asked_once(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    user = tenant(uuid.uuid4().hex)
    nobody = str(uuid.uuid4())
    before = site1.wan.count("bundles")
    for _ in range(3):
        assert site1.get(f"networks/{nobody}", user).status == 404
    assert site1.wan.count("bundles") == before + 1
    assert site1.get("networks/not-an-id", user).status == 404
    assert site1.get("security-groups?name=web", user).only() == []
    assert site1.wan.count("bundles") == before + 1


def test_a_port_that_was_made_at_central_is_the_same_here(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    network, *_ = make_network(central, project)
    group = central.create("security_group", tenant(project), name="web")
    rule = central.create(
        "security_group_rule",
        tenant(project),
        security_group_id=group["id"],
        direction="ingress",
        protocol="tcp",
        port_range_min=80,
        port_range_max=80,
        remote_group_id=group["id"],
    )
    port = central.create(
        "port",
        tenant(project),
        network_id=network["id"],
        name="pre",
        security_groups=[group["id"]],
        allowed_address_pairs=[{"ip_address": "10.0.0.250"}],
        extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400"}],
    )
    shown = site1.get(f"ports/{port['id']}", tenant(project)).only()
    assert port["id"] not in {row["id"] for row in site1.rows("ports")}, "only looked at"
    here = site1.update("port", port["id"], tenant(project), description="here").only()
    assert {**shown, "description": "here"}.keys() <= here.keys()
    for name in (
        "mac_address",
        "fixed_ips",
        "security_groups",
        "name",
        "allowed_address_pairs",
        "extra_dhcp_opts",
    ):
        assert here[name] == port[name], name
    rules = site1.get(f"security-groups/{group['id']}").only()["security_group_rules"]
    there = central.call("GET", f"/v2.0/security-groups/{group['id']}").only()
    assert {r["id"] for r in rules} == {r["id"] for r in there["security_group_rules"]}
    assert rule["id"] in {r["id"] for r in rules}


def test_the_default_group_is_the_same_in_every_tier(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    default = default_security_group_id(project)
    # The site makes it first, on its own.
    assert [g["id"] for g in site1.get("security-groups", tenant(project)).only()] == [default]
    central.create(
        "security_group_rule",
        tenant(project),
        security_group_id=default_of(central, project),
        direction="ingress",
        protocol="tcp",
        port_range_min=22,
        port_range_max=22,
    )
    network, *_ = make_network(central, project)
    port = site1.create("port", tenant(project), network_id=network["id"])
    assert port["security_groups"] == [default]
    there = central.call("GET", f"/v2.0/security-groups/{default}").only()
    here = site1.get(f"security-groups/{default}").only()
    assert {r["id"] for r in here["security_group_rules"]} == {
        r["id"] for r in there["security_group_rules"]
    }


def default_of(central: CentralServer, project: str) -> str:
    (group,) = central.call("GET", "/v2.0/security-groups", user=tenant(project)).only()
    assert group["id"] == default_security_group_id(project)
    return str(group["id"])


def test_who_may_use_a_shared_network_may_use_it_here(
    central: CentralServer, site1: LocalServer
) -> None:
    owner, friend = uuid.uuid4().hex, uuid.uuid4().hex
    network, *_ = make_network(central, owner)
    shared = central.create(
        "rbac_policy",
        tenant(owner),
        object_type="network",
        object_id=network["id"],
        target_tenant=friend,
        action="access_as_shared",
    )
    assert site1.get(f"networks/{network['id']}", tenant(friend)).status == 200
    port = site1.create("port", tenant(friend), network_id=network["id"])
    assert port["security_groups"] == [default_security_group_id(friend)]
    rows = [r for r in site1.rows("networkrbacs") if r["object_id"] == network["id"]]
    assert [(r["id"], r["target_project"]) for r in rows] == [(shared["id"], friend)]


def test_a_network_for_other_zones_is_refused_with_the_reason(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    network = central.create(
        "network", tenant(project), name="n", availability_zone_hints=["zone2"]
    )
    answer = site1.get(f"networks/{network['id']}", tenant(project))
    assert answer.status == 409
    assert "zone2" in answer.text


def test_a_cut_wan_costs_the_first_asker_little_and_the_next_nothing(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    project = uuid.uuid4().hex
    network, *_ = make_network(central, project)
    site1.wan.cut()
    try:
        for _ in range(2):
            answer = site1.get(f"networks/{network['id']}", tenant(project))
            assert answer.status == 503
            assert "central cannot be reached" in answer.text
    finally:
        site1.wan.heal()
    # It was no answer, so it is not remembered.
    from isthmus.testing.until import until

    until(lambda: site1.get(f"networks/{network['id']}", tenant(project)).status == 200)


def test_neutron_itself_asks_nobody(central: CentralServer, site1: LocalServer) -> None:
    """An administrator's own port, removed: Neutron's threads look it up and must not wait."""
    assert site1.wan is not None
    own = site1.create("network", ADMIN, name="own")
    site1.create("subnet", ADMIN, network_id=own["id"], cidr="10.5.0.0/24", ip_version=4)
    before = site1.wan.asked()
    port = site1.create("port", ADMIN, network_id=own["id"])
    assert site1.delete("port", port["id"]).status == 204
    assert site1.delete("network", own["id"]).status == 204
    assert site1.wan.asked() == before
    assert port["id"] not in {row["resource_id"] for row in site1.rows("isthmus_journal")}
