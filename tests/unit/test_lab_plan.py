from pathlib import Path

import pytest

from isthmus import errors
from isthmus.lab.network.outside_host import say
from isthmus.lab.network.wan import render_cuts, render_rules
from isthmus.lab.network.wire import fabric, outside
from isthmus.lab.network.wire.underlay import list_netns, machine_link, render_inside, render_links
from isthmus.lab.plan import LabPlan, management_range, plan_lab
from isthmus.lab.topology import default_topology, parse_topology

#: The kernel's limit on the name of an interface (IFNAMSIZ, with its final zero byte).
IFNAMSIZ = 16


def make_plan(sites: int = 2, hosts: int = 2, number: int = 0, name: str = "lab") -> LabPlan:
    return plan_lab(default_topology(sites, hosts), name=name, number=number, folder=Path("/lab"))


def test_central_comes_first_and_every_place_has_a_subnet_of_its_own() -> None:
    plan = make_plan(3)
    assert [tier.name for tier in plan.tiers] == ["central", "site1", "site2", "site3"]
    for kind in ("subnet", "management", "netns", "bridge"):
        assert len({getattr(tier, kind) for tier in plan.tiers}) == 4


def test_no_two_things_of_a_lab_share_an_address() -> None:
    plan = make_plan(4, 5)
    used = [tier.address for tier in plan.tiers] + [tier.router for tier in plan.tiers]
    used += [host.address for host in plan.hypervisors]
    assert len(set(used)) == len(used)


def test_labs_side_by_side_share_no_management_subnet_and_no_name() -> None:
    one, two = make_plan(number=0), make_plan(number=1, name="other")
    assert not management_range(0).overlaps(management_range(1))
    assert all(tier.management.subnet_of(management_range(1)) for tier in two.tiers)
    assert not set(list_netns(one)) & set(list_netns(two))
    assert not {machine_link(one, t) for t in one.tiers} & {machine_link(two, t) for t in two.tiers}


def test_interface_names_fit_even_in_the_largest_lab() -> None:
    plan = make_plan(200, 200, number=127)
    names = {
        word
        for line in render_links(plan)
        for before, word in zip(line.split(), line.split()[1:], strict=False)
        if before in {"name", "add", "dev"} and not word[0].isdigit()
    }
    assert len(names) > 200
    assert max(len(name) for name in names) < IFNAMSIZ


def test_only_the_wan_knows_more_than_one_place() -> None:
    plan = make_plan()
    inside = render_inside(plan)
    for tier in plan.tiers:
        others = [other for other in plan.tiers if other is not tier]
        text = "\n".join(inside[tier.netns])
        assert not any(str(other.address) in text for other in others)
        assert f"route add default via {tier.router}" in text


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "a-b", "averylongname"])
def test_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(errors.Invalid, match="cannot be the name of a lab"):
        make_plan(name=name)


def test_lookups_name_what_there_is() -> None:
    plan = make_plan()
    site = plan.get_site("site1")
    assert plan.get_hypervisor("h2", site).name == "site1-h2"
    assert plan.get_hypervisor("site1-h2", site).name == "site1-h2"
    with pytest.raises(errors.NotFound, match="it has: site1, site2"):
        plan.get_site("central")
    with pytest.raises(errors.NotFound, match="no host 'h9'"):
        plan.get_hypervisor("h9", site)


def test_cuts_replace_each_other() -> None:
    plan = make_plan()
    one = render_cuts([plan.get_site("site1")])
    assert "ip saddr 172.30.1.0/24 ip daddr != 172.30.1.0/24 drop" in one
    assert "ip daddr 172.30.1.0/24 ip saddr != 172.30.1.0/24 drop" in one
    assert "drop" not in render_cuts([])
    assert "delete table ip isthmus" in render_cuts([])


def test_what_comes_back_from_the_relay_is_not_sent_there_again() -> None:
    site = make_plan().get_site("site1")
    rules = render_rules([site])
    priority = {rule: int(rule.split()[3]) for rule in rules}
    back = next(rule for rule in rules if "iif delay" in rule)
    assert all(priority[back] < priority[rule] for rule in rules if "lookup 100" in rule)
    assert render_rules([]) == ["rule add priority 32766 lookup main"]


def test_every_site_has_an_outside_of_its_own_and_central_none() -> None:
    plan = make_plan(200, 2, number=127)
    assert plan.central.outside is None
    found = [tier.outside for tier in plan.sites]
    assert all(one is not None for one in found)
    subnets = [
        subnet for one in found if one for network in one.networks for subnet in network.subnets
    ]
    assert len(set(subnets)) == len(subnets) == 200 * 2 * 2
    assert len({host for one in found if one for host in one.hosts}) == 200 * 2
    assert plan.sites[0].outside is not None
    assert plan.sites[0].outside.netns in list_netns(plan)


def test_gateways_are_the_first_hypervisors_and_every_one_has_the_bridge() -> None:
    topology = parse_topology("sites:\n- {name: east, hosts: 3, gateways: 2}\n")
    plan = plan_lab(topology, name="lab", number=0, folder=Path("/lab"))
    site = plan.sites[0]
    settings = [" ".join(outside.switch_settings(site, host)) for host in plan.hypervisors]
    assert ["ovn-cms-options=enable-chassis-as-gw" in one for one in settings] == [
        True,
        True,
        False,
    ]
    assert all("ovn-bridge-mappings=public:br-ex" in one for one in settings)
    assert all("add-port br-ex ex-vlan tag=101" in one for one in settings)


def test_sites_with_an_outside_share_one_fabric() -> None:
    plan = make_plan()
    assert all(fabric.is_on(site) for site in plan.sites)
    ends = {link for tier in plan.tiers for _, link in fabric.list_links(tier, plan.wan_netns)}
    switch = "\n".join(render_inside(plan)[plan.wan_netns])
    ports = ends - {"ex-fabric"}
    assert len(ports) == len(plan.hypervisors)
    assert all(f"link set {port} master fabric up" in switch for port in ports)
    host = plan.hypervisors[0]
    words = " ".join(outside.switch_settings(plan.sites[0], host))
    site = plan.sites[0].name
    assert f"ovn-bridge-mappings=public:br-ex,fabric:br-fabric,{site}-public:br-own" in words
    words = " ".join(fabric.switch_settings(plan.sites[0], outside.BRIDGE))
    assert "add-port br-fabric ex-fabric" in words
    assert "add-port br-ex ex-to-own -- set Interface ex-to-own type=patch" in words


def test_a_site_without_gateways_has_no_outside() -> None:
    topology = parse_topology("sites:\n- {name: east, hosts: 1, gateways: 0}\n")
    plan = plan_lab(topology, name="lab", number=0, folder=Path("/lab"))
    assert plan.sites[0].outside is None
    assert outside.switch_settings(plan.sites[0], plan.hypervisors[0]) == []
    assert fabric.switch_settings(plan.sites[0], outside.BRIDGE) == []
    assert not any("east-out" in netns for netns in list_netns(plan))


@pytest.mark.parametrize(
    ("caller", "shown"),
    [("::ffff:172.31.1.9", "172.31.1.9"), ("fe80::1%flat", "fe80::1"), ("2001:db8::9",) * 2],
)
def test_a_host_outside_says_who_calls(caller: str, shown: str) -> None:
    assert say("o", caller, 7, "::ffff:198.51.100.1") == f"o: {shown} port 7 called 198.51.100.1\n"
