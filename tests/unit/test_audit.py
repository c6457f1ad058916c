"""The audit: an agreeing world has no findings, and each kind of disagreement has its own."""

import copy
import datetime
from collections.abc import Callable
from typing import Any

import pytest

from isthmus import errors
from isthmus.federation.audits.audit import audit
from isthmus.federation.audits.holdings import parse_holdings
from isthmus.model.intent import IntentKey, Job, JobState
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.model.verdict import Severity, Verdict, to_row

NET, SUB, GROUP, KEY = "net", "sub", "group", 16777000
World = dict[str, dict[str, Any]]


def port(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"port{number}",
        "network_id": NET,
        "project_id": "p",
        "mac_address": f"fa:16:00:00:00:{number:02x}",
        "fixed_ips": [{"subnet_id": SUB, "ip_address": f"10.0.0.{number}"}],
        "security_groups": [GROUP],
        "device_owner": "compute:nova",
        "device_id": f"server{number}",
        "status": "ACTIVE",
        "admin_state_up": True,
        "binding:host_id": f"host{number}",
        "binding:vif_type": "ovs",
        "allowed_address_pairs": [],
        "port_security_enabled": True,
        **changes,
    }


def lease(number: int, kind: str, pool: str, site: str, first: int, last: int) -> dict[str, Any]:
    return {
        "id": f"lease{number}",
        "kind": kind,
        "pool_id": pool,
        "site": site,
        "first": str(first),
        "last": str(last),
    }


def place(number: int, site: str) -> dict[str, Any]:
    return {
        "port_id": f"port{number}",
        "network_id": NET,
        "site": site,
        "chassis": f"hv-{site}",
        "hostname": f"host{number}",
        "encap_ip": f"192.0.2.{number}",
        "port_key": number,
    }


def shadow(number: int, site: str) -> dict[str, Any]:
    return {
        **place(number, site),
        "mac_address": f"fa:16:00:00:00:{number:02x}",
        "addresses": [f"10.0.0.{number}"],
        "extra_macs": [],
        "answered": True,
        "enabled": True,
        "accepts_unknown": False,
        "security_groups": [GROUP],
    }


def row(number: int, chassis: str, kind: str = "") -> dict[str, Any]:
    return {
        "id": f"port{number}",
        "network_id": NET,
        "type": kind,
        "requested_key": number,
        "key": number,
        "addresses": [f"fa:16:00:00:00:{number:02x} 10.0.0.{number}"],
        "dhcp": [4],
        "chassis": chassis,
    }


def tier(name: str, ports: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "networks": [
            {
                "id": NET,
                "name": "n",
                "project_id": "p",
                "status": "ACTIVE",
                "mtu": 1442,
                "provider:network_type": "geneve",
                "provider:physical_network": None,
                "router:external": False,
                "sharing": [],
                "tags": [],
            }
        ],
        "subnets": [
            {
                "id": SUB,
                "network_id": NET,
                "cidr": "10.0.0.0/24",
                "ip_version": 4,
                "ipv6_address_mode": None,
                "gateway_ip": "10.0.0.254",
                "enable_dhcp": True,
                "tags": [],
            }
        ],
        "ports": ports,
        "security_groups": [
            {"id": GROUP, "project_id": "p", "rules": ["r1", "r2"], "sharing": [], "tags": []}
        ],
        "datapaths": [{"network_id": NET, "datapath_key": KEY}],
        "journal": {},
        **changes,
    }


def local(name: str, own: int, other: int, other_site: str) -> dict[str, Any]:
    metadata = {**port(own + 100), "device_owner": "network:distributed", "fixed_ips": []}
    return tier(
        name,
        [port(own), metadata],
        leases=[lease(own, "port_key", NET, name, own, own + 100)],
        shadows=[shadow(other, other_site)],
        ovn={
            "version": "23.03.1",
            "shadow_limit": 680,
            "switches": [{"network_id": NET, "requested_key": KEY, "key": KEY}],
            "ports": [row(own, f"hv-{name}"), row(own + 100, "", "localport")],
            "shadows": [row(other, f"hv-{other_site}", "remote")],
            "chassis": [
                {
                    "name": f"hv-{name}",
                    "hostname": f"host{own}",
                    "encap_ips": [f"192.0.2.{own}"],
                    "site": "",
                }
            ],
            "responders": [],
            "port_keys": [{"port_id": f"port{own}", "network_id": NET, "key": own}],
            "drift": [],
        },
    )


def world() -> World:
    """Two sites, one network, one port each; port 1 lives at one, port 2 at two."""
    mappings = [
        {"type": kind, "resource_id": resource_id, "site": site, "withdrawn": False}
        for kind, resource_id, site in (
            ("network", NET, "one"),
            ("network", NET, "two"),
            ("security_group", GROUP, "one"),
            ("security_group", GROUP, "two"),
            ("port", "port1", "one"),
            ("port", "port2", "two"),
        )
    ]
    return {
        "central": tier(
            "central",
            [port(1), port(2)],
            leases=[
                lease(1, "port_key", NET, "one", 1, 101),
                lease(2, "port_key", NET, "two", 200, 300),
                lease(3, "subnet", SUB, "one", 1, 10),
            ],
            mappings=mappings,
            locations=[place(1, "one"), place(2, "two")],
        ),
        "one": local("one", 1, 2, "two"),
        "two": _second(),
    }


def _second() -> dict[str, Any]:
    site = local("two", 2, 1, "one")
    site["leases"] = [lease(2, "port_key", NET, "two", 200, 300)]
    site["ovn"]["port_keys"] = []
    return site


def run(state: World, **more: Any) -> list[Verdict]:
    tiers = {name: parse_holdings(one) for name, one in state.items()}
    central = tiers.pop("central")
    report = audit(central, {SiteName(name): one for name, one in tiers.items()}, **more)
    return list(report.findings)


def test_an_agreeing_world_has_no_findings() -> None:
    assert run(world()) == []


def test_the_port_to_the_fabric_is_expected_of_a_provider_network() -> None:
    state = world()
    del state["two"]
    state["central"]["mappings"] = [
        one for one in state["central"]["mappings"] if one["site"] == "one"
    ]
    state["central"]["locations"] = [place(1, "one")]
    state["central"]["ports"] = [port(1)]
    state["central"]["leases"] = state["central"]["leases"][:1]
    state["one"]["shadows"] = state["one"]["ovn"]["shadows"] = []
    for name in ("central", "one"):
        state[name]["networks"][0]["provider:physical_network"] = "public"
    assert [one.message for one in run(state)] == ["network without a port to its physical network"]
    fabric = {**row(32767, "", "localnet"), "id": "provnet-segment", "addresses": ["unknown"]}
    state["one"]["ovn"]["ports"].append(fabric)
    assert run(state) == []
    for name in ("central", "one"):
        state[name]["networks"][0]["provider:physical_network"] = None
    assert [one.message for one in run(state)] == ["logical switch port that Neutron does not know"]


def test_a_router_has_interfaces_at_a_site_where_their_networks_are_alone() -> None:
    def router(*networks: str) -> dict[str, Any]:
        interfaces = [{"id": f"on-{one}", "network_id": one} for one in networks]
        return {"id": "r", "project_id": "p", "isthmus:interfaces": interfaces}

    state = world()
    there = {"type": "router", "resource_id": "r", "site": "one", "withdrawn": False}
    state["central"]["mappings"].append(there)
    state["central"]["routers"] = [router(NET, "elsewhere")]
    state["one"]["routers"] = [router(NET)]
    assert run(state) == []
    for wrong in (router(), router(NET, "elsewhere")):
        state["one"]["routers"] = [wrong]
        assert [one.message for one in run(state)] == ["router different"]


def test_a_router_has_the_exits_and_the_gateway_of_its_site() -> None:
    def exits(*floating: str) -> dict[str, Any]:
        return {"routes": [], "floating": [{"external": one} for one in floating]}

    state = world()
    there = {"type": "router", "resource_id": "r", "site": "one", "withdrawn": False}
    state["central"]["mappings"].append(there)
    by_site = {"one": exits("192.0.2.1", "192.0.2.2"), "two": exits()}
    gateways = {"one": {"id": "gw", "enable_snat": True}}
    state["central"]["routers"] = [
        {"id": "r", "isthmus:exits": by_site, "isthmus:gateway": gateways}
    ]
    held = {"id": "r", "isthmus:exits": by_site["one"], "isthmus:gateway": gateways["one"]}
    state["one"]["routers"] = [held]
    assert run(state) == []
    for name, wrong, evidence in (
        ("isthmus:exits", exits("192.0.2.2"), "isthmus:exits.floating: central [{'external': '192"),
        ("isthmus:exits", None, "isthmus:exits: central {'routes"),
        ("isthmus:gateway", None, "isthmus:gateway: central {'id': 'gw'"),
        (
            "isthmus:gateway",
            {"id": "gw", "enable_snat": False},
            "isthmus:gateway.enable_snat: central True, here False",
        ),
    ):
        state["one"]["routers"] = [{**held, name: wrong}]
        (found,) = run(state)
        assert (found.code, found.subject.name) == ("router.different", "r")
        assert found.evidence.startswith(evidence), found.evidence


def test_what_an_older_tier_does_not_say_is_not_compared() -> None:
    state = world()
    state["central"]["subnets"][0]["host_routes"] = [{"destination": "192.0.2.0/24"}]
    assert run(state) == []
    state["one"]["subnets"][0]["host_routes"] = []
    assert [one.code for one in run(state)] == ["subnet.different"]


def change(path: str, value: Any) -> Callable[[World], None]:
    """Set something deep in the world; the last word of the path is a key or an index."""

    def act(state: World) -> None:
        *way, last = [int(word) if word.isdigit() else word for word in path.split("/")]
        at: Any = state
        for word in way:
            at = at[word]
        at[last] = value(at[last]) if callable(value) else value

    return act


def drop(path: str) -> Callable[[World], None]:
    return change(path, lambda rows: rows[1:])


def add(path: str, one: Any) -> Callable[[World], None]:
    return change(path, lambda rows: [*rows, one])


CASES = {
    "address group with other addresses in OVN": change(
        "one/ovn/lost_addresses", [{"id": "ag", "missing": ["10.0.0.1/32"], "extra": []}]
    ),
    "router with an extra route that OVN lacks": change(
        "one/ovn/lost",
        [
            {
                "code": "router.no_route",
                "kind": "router",
                "id": "r",
                "what": "router with an extra route that OVN lacks",
                "evidence": "192.0.2.0/24 by 10.0.0.9",
            }
        ],
    ),
    "router whose subnet OVN does not translate": change(
        "one/ovn/lost_snats",
        [{"router_id": "r", "external": "203.0.113.7", "internal": "10.0.0.0/24"}],
    ),
    "port that could not be bound": change("one/ports/0/binding:vif_type", "binding_failed"),
    "port on another hypervisor": change("one/ovn/ports/0/requested_chassis", "host9"),
    "network missing": drop("one/networks"),
    "network too many": change(
        "central/mappings", lambda rows: [one for one in rows if one["site"] != "two"]
    ),
    "network different": change("one/networks/0/mtu", 1500),
    "subnet missing": drop("one/subnets"),
    "subnet different": change("two/subnets/0/gateway_ip", "10.0.0.1"),
    "security_group missing": drop("one/security_groups"),
    "security_group different": change("one/security_groups/0/rules", ["r1"]),
    "port missing": drop("one/ports"),
    "port too many": drop("central/ports"),
    "port different": change("one/ports/0/device_id", "another"),
    "port at two sites": add("one/ports", port(2)),
    "address given twice": add("one/ports", port(3, mac_address="fa:16:00:00:00:01")),
    "leases overlap": add("central/leases", lease(4, "subnet", SUB, "two", 10, 20)),
    "lease that central does not know": add("one/leases", lease(5, "subnet", SUB, "one", 90, 99)),
    "lease larger than at central": change("one/leases/0/last", "150"),
    "datapath key different": change("two/datapaths/0/datapath_key", 16777001),
    "port key outside the site's leases": change("one/ovn/port_keys/0/key", 199),
    "port key given twice": change(
        "two/ovn/port_keys", [{"port_id": "port2", "network_id": NET, "key": 1}]
    ),
    "shadow port not bound": add(
        "one/ovn/drift",
        {
            "code": "ovn.binding.differs",
            "what": "shadow port not bound",
            "id": "port2",
            "change": "bind shadow port port2 to chassis hv-two",
            "without": "the port cannot be reached from this site",
        },
    ),
    "network without a logical switch": change("one/ovn/switches", []),
    "key not leased": change("one/ovn/switches/0/key", 7),
    "port without a logical switch port": change("one/ovn/ports", lambda rows: rows[1:]),
    "logical switch port that Neutron does not know": change(
        "one/ovn/ports", lambda rows: [*rows, row(9, "")]
    ),
    "network without a port to its physical network": change(
        "one/networks/0/provider:physical_network", lambda _none: "public"
    ),
    "logical switch port with other addresses": change(
        "one/ovn/ports/0/addresses", ["fa:16:00:00:00:01 10.0.0.77"]
    ),
    "logical switch port without DHCP options": change("one/ovn/ports/0/dhcp", []),
    "shadow port missing": change("one/shadows", []),
    "shadow port of nothing": drop("central/locations"),
    "shadow port different": change("one/shadows/0/encap_ip", "192.0.2.77"),
    "security group with rules that OVN lacks": change(
        "one/ovn/lost_rules", [{"id": "r1", "security_group_id": GROUP}]
    ),
    "port's location unknown": drop("central/locations"),
    "port's location different": change("one/ovn/chassis/0/encap_ips", ["192.0.2.78"]),
}


@pytest.mark.parametrize("what", CASES)
def test_each_disagreement_has_its_finding(what: str) -> None:
    state = world()
    CASES[what](state)
    assert state != world(), "the case changes nothing"
    found = run(state)
    assert what in {one.message for one in found}
    for one in found:
        assert one.evidence
        assert one.remedy


def remedies(state: World) -> dict[str, str]:
    return {one.message: one.remedy for one in run(state)}


def test_what_a_restored_site_has_yet_to_learn_again_is_not_to_be_deleted() -> None:
    stray = "logical switch port that Neutron does not know"
    state = world()
    del state["one"]["ports"][0]  # its server runs, and central has the port
    said = remedies(state)
    assert "`isthmus site resync one` sends it" in said["port missing"]
    assert "lsp-del" not in said[stray]
    assert "once it has registered" in said[stray]
    state = world()
    CASES[stray](state)
    assert "lsp-del port9" in remedies(state)[stray]


def test_a_port_that_a_site_made_is_not_said_to_be_removed() -> None:
    state = world()
    del state["central"]["ports"][0]
    assert "job refused" in remedies(state)["port too many"]
    state = world()
    CASES["network too many"](state)
    assert "`isthmus site resync two` has it removed" in remedies(state)["network too many"]


def test_a_switch_port_that_nobody_knows_is_told_by_its_addresses_and_its_hypervisor() -> None:
    stray = "logical switch port that Neutron does not know"
    state = world()
    CASES[stray](state)
    (found,) = [one for one in run(state) if one.message == stray]
    (row,) = [one for one in state["one"]["ovn"]["ports"] if one["id"] == found.subject.name]
    row["addresses"] = ["fa:16:3e:00:00:09 10.0.0.9"]
    row["chassis"] = state["one"]["ovn"]["chassis"][0]["name"]
    host = state["one"]["ovn"]["chassis"][0]["hostname"]
    (found,) = [one for one in run(state) if one.message == stray]
    assert f"fa:16:3e:00:00:09 10.0.0.9, on {host}, network " in found.evidence
    row["chassis"], row["addresses"] = "", []
    (found,) = [one for one in run(state) if one.message == stray]
    assert "no addresses, on no hypervisor, " in found.evidence


def test_drift_of_rows_keeps_its_code_and_shows_the_values() -> None:
    state = world()
    CASES["shadow port not bound"](state)
    (found,) = run(state)
    assert found.code == "ovn.binding.differs"
    change = "OVN needs: bind shadow port port2 to chassis hv-two"
    assert found.evidence == f"{change}; without it, the port cannot be reached from this site"
    for older in ({"without": ""}, {}):  # a row too many, and a site that does not say it yet
        drift = state["one"]["ovn"]["drift"][0]
        del drift["without"]
        drift |= older
        (found,) = run(state)
        assert found.evidence == change
        drift["without"] = "x"


def test_what_waits_for_a_restored_site_is_said_to_wait() -> None:
    state = world()
    CASES["shadow port not bound"](state)
    state["one"]["ovn"]["drift"][0]["waits"] = True
    assert "isthmus status" in remedies(state)["shadow port not bound"]


def test_refused_shadows_are_told_from_missing_ones() -> None:
    state = world()
    state["one"]["ovn"]["shadow_limit"] = 1
    state["central"]["ports"].append(port(3))
    state["central"]["locations"].append(place(3, "two"))
    state["two"]["ports"].append(port(3))
    found = {
        one.message: one
        for one in run(state)
        if one.subject.name == "port3" and one.subject.place == "one"
    }
    assert "shadow port refused" in found
    assert "shadow port missing" not in found
    assert "24.03" in found["shadow port refused"].remedy
    assert "1 shadow ports" in found["shadow port refused"].evidence


def test_differences_are_warnings_while_intents_are_on_their_way() -> None:
    state = world()
    state["one"]["ports"][0]["device_id"] = "another"
    assert {one.severity for one in run(state)} == {Severity.BROKEN}
    state["central"]["journal"] = {"one": {"backlog": 2, "parked": 1}}
    assert {one.severity for one in run(state)} == {Severity.DEGRADED}


def test_what_a_site_has_twice_is_shown() -> None:
    state = world()
    pool = {"start": "10.0.0.1", "end": "10.0.0.9"}
    state["central"]["subnets"][0]["allocation_pools"] = [pool]
    state["one"]["subnets"][0]["allocation_pools"] = [pool, pool]
    (found,) = run(state)
    assert found.evidence == f"allocation_pools: central {[pool]!r}, here {[pool, pool]!r}"


def test_parked_intents_and_silent_sites_are_findings() -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    job = Job(
        id="job1",
        key=IntentKey(SiteName("one"), ResourceType.SHADOW, "port9"),
        state=JobState.PARKED,
        generation=1,
        attempts=1,
        created_at=now,
        changed_at=now,
        not_before=now,
        last_error="680 shadow ports are the most",
    )
    state = world()
    del state["two"]
    found = run(state, jobs=[job], silent={SiteName("two"): "nobody answered"})
    assert [one.message for one in found] == ["refused by the site", "site not audited"]
    assert "680" in found[0].evidence
    assert "job1" in found[0].remedy
    assert to_row(found[0])["severity"] == "broken"


def test_what_are_no_holdings_is_refused() -> None:
    broken = copy.deepcopy(world()["one"])
    del broken["ports"][0]["id"]
    with pytest.raises(errors.ProtocolError):
        parse_holdings(broken)


def test_sharing_tags_and_address_groups_are_compared() -> None:
    shared = ["access_as_shared other"]
    for part, attribute, value in (
        ("networks", "sharing", shared),
        ("security_groups", "sharing", shared),
        ("networks", "tags", ["gold"]),
        ("subnets", "tags", ["gold"]),
        ("security_groups", "tags", ["gold"]),
    ):
        state = world()
        state["one"][part][0][attribute] = value
        (found,) = run(state)
        assert (found.subject.place, found.message) == ("one", f"{part[:-1]} different")
        assert attribute in found.evidence
    group = {"id": "ag", "project_id": "p", "addresses": ["192.0.2.1/32"], "sharing": []}
    state = world()
    state["central"]["mappings"].append(
        {"type": "address_group", "resource_id": "ag", "site": "one", "withdrawn": False}
    )
    state["central"]["address_groups"] = [group]
    assert [one.message for one in run(state)] == ["address_group missing"]
    state["one"]["address_groups"] = [{**group, "sharing": shared}]
    assert [one.message for one in run(state)] == ["address_group different"]
    state["one"]["address_groups"] = [group]
    assert run(state) == []


def test_a_default_group_that_is_mapped_nowhere_is_the_sites_own() -> None:
    state = world()
    mine = {"id": "default", "project_id": "q", "rules": ["r1"]}
    state["central"]["security_groups"].append({**mine, "rules": ["r1", "r2"]})
    state["one"]["security_groups"].append(mine)
    assert run(state) == []
    # One that the site has as central's, and central does not, is found.
    state["one"]["mappings"] = [
        {"type": "security_group", "resource_id": "default", "site": "one", "withdrawn": False}
    ]
    assert [one.message for one in run(state)] == ["security_group too many"]


@pytest.mark.parametrize("name", ["central", "one"])
def test_a_tier_that_gives_out_no_addresses_is_found(name: str) -> None:
    state = world()
    state[name]["epoch"] = {"recovered": False, "reason": "restored; waits for two"}
    (found,) = run(state)
    assert (found.code, found.severity) == ("tier.recovering", Severity.DEGRADED)
    assert (found.subject.place, found.evidence) == (name, "restored; waits for two")
    state[name]["epoch"]["stands_down"] = True
    assert [one.severity for one in run(state)] == [Severity.BROKEN]
    state[name]["epoch"] = {"recovered": True, "reason": ""}
    assert run(state) == []


@pytest.mark.parametrize(
    ("asked", "chassis", "remedy"),
    [
        ("host1", "hv-one", ""),
        ("hv-one", "hv-one", ""),  # OVN takes the name of the chassis as well
        ("host9,host1", "hv-one", ""),  # its server moves
        ("", "hv-one", ""),  # an older site does not say
        ("host9", "", "`isthmus port rebind port1` has"),
        ("host9", "hv-one", "`isthmus port rebind port1` has"),  # it moves there yet
        ("host9", "hv-9", "`isthmus port rebind port1 --host host9` has"),
    ],
)
def test_a_port_that_ovn_wants_elsewhere_is_bound_where_its_server_is(
    asked: str, chassis: str, remedy: str
) -> None:
    state = world()
    other = {"name": "hv-9", "hostname": "host9", "encap_ips": ["192.0.2.9"], "site": ""}
    state["one"]["ovn"]["chassis"].append(other)
    state["one"]["ovn"]["ports"][0].update(requested_chassis=asked, chassis=chassis)
    found = [one for one in run(state) if one.code == "port.other_hypervisor"]
    assert [one.remedy.startswith(remedy) for one in found] == ([True] if remedy else [])
