"""A site that lies: central believes it only in what is its own."""

import ipaddress
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_central_report import Stretched, item

pytestmark = pytest.mark.neutron

_NOT_YOURS = "isthmus.refused.conflict"
_INVALID = "isthmus.refused.invalid"
_REFUSED = "isthmus.refused"
_NOT_FOUND = "isthmus.refused.not_found"


def code(central: CentralServer, site: str, *items: Any) -> str:
    (result,) = central.report(site, *items)
    return str(result["code"])


def at(net: Stretched, site: str, **location: Any) -> dict[str, Any]:
    """Make a port of a site's own, with its own address, key and hypervisor."""
    leases = {one["kind"]: one for one in net.leases[site]}
    net.taken = getattr(net, "taken", -1) + 1  # type: ignore[attr-defined]
    nth = net.taken  # type: ignore[attr-defined]
    port = net.port(name=f"born-at-{site}")
    address = str(ipaddress.ip_address(int(leases["subnet"]["first"]) + nth))
    port["fixed_ips"] = [{"subnet_id": net.subnet["id"], "ip_address": address}]
    port["isthmus:location"] = {
        "chassis": f"chassis-of-{site}",
        "hostname": "host1",
        "encap_ip": f"203.0.113.{site[-1]}",
        "port_key": int(leases["port_key"]["first"]) + nth,
        **location,
    }
    return port


def takeover(shown: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Say of a port that only this site has changed it."""
    kept = ("id", "network_id", "project_id", "mac_address", "fixed_ips", "security_groups")
    return {
        **{name: shown[name] for name in kept},
        "name": "owned",
        "status": "ACTIVE",
        "port_security_enabled": False,
        "binding:host_id": "evil",
        "binding:vif_type": "ovs",
        "isthmus:base": {name: shown[name] for name in kept} | {"name": shown["name"]},
        "isthmus:location": None,
        **more,
    }


@pytest.mark.parametrize("present", [(), ("site1",), ("site1", "site2")])
@pytest.mark.parametrize("owner", ["", "network:router_interface"])
def test_a_port_without_a_home_is_taken_by_no_report(
    central: CentralServer, present: tuple[str, ...], owner: str
) -> None:
    net = Stretched(central, present=present)
    more = {"project_id": net.project}
    port = central.create(
        "port", ADMIN, network_id=net.network["id"], name="vip", device_owner=owner, **more
    )
    before = net.shown(port)
    assert code(central, "site2", item(takeover(before, security_groups=[]))) == _NOT_YOURS
    assert (
        code(central, "site2", item(before, gone=True)) == ""
    )  # it is gone there, and that is all
    assert net.shown(port) == before
    assert central.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only() == []
    assert "site=site2 user=isthmus-site2" in central.log()


def test_a_port_asked_for_by_a_bundle_is_taken_afterwards(central: CentralServer) -> None:
    net = Stretched(central)
    port = central.create("port", net.user, network_id=net.network["id"], name="vip")
    central.bundle("site2", "port", port["id"], project=net.project)
    shown = net.shown(port)
    assert code(central, "site2", item(takeover(shown, name="mine"))) == ""
    assert net.shown(port)["name"] == "mine"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ({"port_key": 40000}, _INVALID),
        ({"port_key": -5}, _INVALID),
        ({"encap_ip": "not-an-ip; drop"}, _INVALID),
        ({"hostname": "h" * 300}, _INVALID),
        ({"port_key": 9000}, _NOT_YOURS),
        ({"chassis": "chassis-of-site1"}, _NOT_YOURS),
        ({"encap_ip": "203.0.113.1"}, _NOT_YOURS),
    ],
)
def test_a_location_that_is_not_the_sites(
    central: CentralServer, location: dict[str, Any], expected: str
) -> None:
    net = Stretched(central)
    victim = at(net, "site1")
    assert code(central, "site1", item(victim)) == ""
    evil = at(net, "site2", **location)
    assert code(central, "site2", item(evil)) == expected
    assert central.call("GET", f"/v2.0/ports/{evil['id']}").status == 404
    # Nor may a port that it has turn to it later.
    good = at(net, "site2")
    assert code(central, "site2", item(good)) == ""
    moved = {**good["isthmus:location"], **location}
    later = {**good, "isthmus:location": moved, "isthmus:base": good}
    assert code(central, "site2", item(later)) == expected
    shadow = central.desired("site1", ("shadow", good["id"]))["shadow", good["id"]]
    assert shadow["encap_ip"] == "203.0.113.2"


def test_the_key_of_another_port_of_the_site(central: CentralServer) -> None:
    net = Stretched(central)
    one, two = at(net, "site1"), at(net, "site1")
    two["isthmus:location"]["port_key"] = one["isthmus:location"]["port_key"]
    assert code(central, "site1", item(one)) == ""
    assert code(central, "site1", item(two)) == "isthmus.transient.stale"
    assert code(central, "site1", item(one, gone=True)) == ""
    assert code(central, "site1", item(two)) == ""


def test_a_hypervisor_that_nobody_uses_any_more_may_move(central: CentralServer) -> None:
    net = Stretched(central)
    machine = {"chassis": "moving", "encap_ip": "203.0.113.77"}
    old, new = at(net, "site1", **machine), at(net, "site2", **machine)
    assert code(central, "site1", item(old)) == ""
    assert code(central, "site2", item(new)) == _NOT_YOURS
    assert code(central, "site1", item(old, gone=True)) == ""
    assert code(central, "site2", item(new)) == ""


def test_tunnel_prefixes_that_an_operator_sets(central: CentralServer) -> None:
    net = Stretched(central)
    site = central.call("GET", "/v2.0/sites/site1").only()
    path = f"/v2.0/sites/{site['id']}"
    wrong = {"site": {"tunnel_prefixes": ["10.0.0.1/8"]}}
    assert central.call("PUT", path, wrong).refusal() == (400, _INVALID)
    prefixes = {"site": {"tunnel_prefixes": ["198.51.100.0/28"]}}
    assert central.call("PUT", path, prefixes).only()["tunnel_prefixes"] == ["198.51.100.0/28"]
    try:
        outside = at(net, "site1", chassis="new", encap_ip="198.51.100.77")
        assert code(central, "site1", item(outside)) == _NOT_YOURS
        squatter = at(net, "site2", chassis="squat", encap_ip="198.51.100.1")
        assert code(central, "site2", item(squatter)) == _NOT_YOURS
        inside = at(net, "site1", chassis="new", encap_ip="198.51.100.1")
        assert code(central, "site1", item(inside)) == ""
    finally:
        central.call("PUT", path, {"site": {"tunnel_prefixes": []}})


def test_another_network_than_the_ports_own(central: CentralServer) -> None:
    net, other = Stretched(central), Stretched(central)
    port = at(net, "site2")
    assert code(central, "site2", item(port)) == ""
    moved = {**port, "network_id": other.network["id"], "isthmus:base": port}
    assert code(central, "site2", item(moved)) == _INVALID
    with central.database() as connection:
        query = sa.text("SELECT network_id FROM isthmus_locations WHERE port_id = :id")
        assert connection.scalar(query, {"id": port["id"]}) == net.network["id"]


def test_a_project_that_may_not_use_the_network(central: CentralServer) -> None:
    net, stranger = Stretched(central), uuid.uuid4().hex
    port = at(net, "site2") | {"project_id": stranger, "security_groups": []}
    assert code(central, "site2", item(port)) == _REFUSED
    central.create(
        "rbac_policy",
        net.user,
        object_type="network",
        object_id=net.network["id"],
        action="access_as_shared",
        target_tenant=stranger,
    )
    assert code(central, "site2", item(port)) == ""
    # A project that uses another's network is given no address pairs on it, as in stock Neutron.
    gateway = {"allowed_address_pairs": [{"ip_address": "10.0.0.1"}]}
    assert code(central, "site2", item({**port, **gateway, "isthmus:base": port})) == _REFUSED
    assert net.shown(port)["allowed_address_pairs"] == []


def test_security_groups_of_somebody_else(central: CentralServer) -> None:
    net = Stretched(central)
    group = central.create("security_group", tenant("victim"), name="databases")
    port = at(net, "site2") | {"security_groups": [group["id"]]}
    assert code(central, "site2", item(port)) == _NOT_FOUND
    nowhere = at(net, "site2") | {"security_groups": [str(uuid.uuid4())]}
    assert code(central, "site2", item(nowhere)) == _NOT_FOUND
    good = at(net, "site2")
    assert code(central, "site2", item(good)) == ""
    joined = {**good, "security_groups": [group["id"]], "isthmus:base": good}
    assert code(central, "site2", item(joined)) == _NOT_FOUND
    assert net.shown(good)["security_groups"] == net.groups


def test_a_port_is_not_said_to_be_somebody_elses(central: CentralServer) -> None:
    net, victim = Stretched(central), uuid.uuid4().hex
    group = central.create("security_group", tenant(victim), name="databases")
    good = at(net, "site2")
    assert code(central, "site2", item(good)) == ""
    for project in (victim, central.service_project, None, ""):
        claimed = {
            **good,
            "project_id": project,
            "security_groups": [group["id"]],
            "isthmus:base": good,
        }
        assert code(central, "site2", item(claimed)) in (_NOT_FOUND, _INVALID)
        shown = net.shown(good)
        assert shown["project_id"] == net.project
        assert shown["security_groups"] == net.groups


def test_a_service_may_use_every_network(central: CentralServer) -> None:
    """Octavia makes ports of its own project, with address pairs, on the networks of tenants."""
    net = Stretched(central)
    pairs = {"allowed_address_pairs": [{"ip_address": "10.0.0.9"}]}
    of_service = {"project_id": central.service_project, "security_groups": []}
    port = at(net, "site2") | of_service | pairs
    assert code(central, "site2", item(port)) == ""
    shown = central.call("GET", f"/v2.0/ports/{port['id']}").only()
    assert shown["project_id"] == central.service_project
    assert [one["ip_address"] for one in shown["allowed_address_pairs"]] == ["10.0.0.9"]


@pytest.mark.parametrize("owner", ["network:router_gateway", "network:floatingip", "network:x"])
def test_an_owner_that_neutron_trusts(central: CentralServer, owner: str) -> None:
    net = Stretched(central)
    assert code(central, "site2", item(at(net, "site2") | {"device_owner": owner})) == _REFUSED


def pairs(*listed: Any) -> dict[str, Any]:
    return {"allowed_address_pairs": list(listed)}


_TWIN = {"ip_address": "10.0.0.9", "mac_address": "fa:16:3e:00:00:09"}

#: What is wrong with one port of a report.
MALFORMED: dict[str, dict[str, Any]] = {
    "pair-no-address": pairs({"ip_address": "10.0.0.1/24/3"}),
    "pair-none": pairs({"ip_address": None}),
    "pair-number": pairs({"ip_address": 7}),
    "pair-empty": pairs({}),
    "pair-text": pairs("10.0.0.1"),
    "pair-null": pairs(None),
    "pair-nested": pairs([["ip_address", "10.0.0.1"]]),
    "pair-mac": pairs({"ip_address": "10.0.0.9", "mac_address": "zz"}),
    "pair-zone": pairs({"ip_address": "fe80::1%eth0"}),
    "pairs-mapping": {"allowed_address_pairs": {"ip_address": "10.0.0.1"}},
    "pairs-text": {"allowed_address_pairs": "10.0.0.1"},
    "pairs-null": {"allowed_address_pairs": None},
    "pair-base": {"isthmus:base": pairs({"ip_address": "10.0.0.1/24/3"})},
    "pair-base-list": {"isthmus:base": ["allowed_address_pairs"]},
    "groups": {"security_groups": [["x"]]},
    "address": {"fixed_ips": [{"subnet_id": "x", "ip_address": "10.0.0.9"}]},
    "address-null": {"fixed_ips": [None]},
    "option": {"extra_dhcp_opts": [{"opt_name": 3, "opt_value": "x"}]},
    "location": {"isthmus:location": {"chassis": ["x"]}},
    "profile": {"binding:profile": []},
    "vnic": {"binding:vnic_type": ["direct"]},
    "project": {"project_id": None},
    "name": {"name": {"a": "b"}},
    "surrogate": {"name": "\ud800"},
    "long": {"more": "y" * 300_000},
}
#: What has the right form, and Neutron or its database does not take.
ODD: dict[str, dict[str, Any]] = {
    "pair-twice": pairs(_TWIN, _TWIN),
    "pair-twice-otherwise-written": pairs(_TWIN, {**_TWIN, "ip_address": "10.0.0.9/32"}),
    "pair-any": pairs({"ip_address": "0.0.0.0/0"}),
    "vnic-unknown": {"binding:vnic_type": "no-such"},
    "dns": {"dns_name": ["x"]},
    "unknown": {"no_such_attribute": {"a": ["b"]}},
    "status": {"status": "ODD"},
}


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_what_is_wrong_with_some_ports_is_no_matter_of_the_others(
    central: CentralServer, known: bool
) -> None:
    net = Stretched(central)
    wrongs = {**MALFORMED, **ODD}
    bad = {name: net.port() for name in wrongs}
    for names in _batches(list(wrongs), 20):
        if known:
            results = central.report("site1", *(item(bad[name]) for name in names))
            assert {one["code"] for one in results} == {""}
            for name in names:
                bad[name]["isthmus:base"] = dict(bad[name])
        first, last = net.port(), net.port()
        said = [{**bad[name], **wrongs[name]} for name in names]
        results = central.report("site1", item(first), *map(item, said), item(last))
        codes = [one["code"] for one in results]
        assert [one["id"] for one in results[1:-1]] == [one["id"] for one in said]
        assert (codes[0], codes[-1]) == ("", "")
        for name, got in zip(names, codes[1:-1], strict=True):
            assert name not in MALFORMED or got in (_INVALID, _REFUSED), (name, got)
    assert code(central, "site1", item(net.port())) == ""


def _batches(names: list[str], size: int) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


@pytest.mark.parametrize("bad", ["x", "", "i" * 10**5, "D9AC7A5E-5A33-4C5B-9F7E-0A4F6A1F2B3C"])
def test_an_item_without_an_id_is_no_matter_of_the_others(central: CentralServer, bad: str) -> None:
    net = Stretched(central)
    port = net.port()
    for state in (None, {**port, "id": bad}):
        results = central.report("site1", {"type": "port", "id": bad, "state": state}, item(port))
        assert [one["code"] for one in results] == [_INVALID, ""]
        assert results[0]["id"] == bad[:64]
