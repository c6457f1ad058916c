"""Hundreds of hosts: groups, outliers, one plan a group."""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from isthmus.facts.document import to_document
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.fleet import find_namesakes, group_fleet, plan_fleet
from isthmus.nfv.plan.demand import parse_demand
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.wiring import nfv as wiring

DEMAND = parse_demand("""
physical_networks: [{name: fast, by: ovs-dpdk, nics: [dpdk1]}]
flavors: [{name: f, vcpus: 4, ram_mib: 8192, networks: [fast]}]
""")


def host(number: int, *, cores: int = 8, memory: int = 65536, node: int = 0) -> HostInventory:
    made = make_host(
        Shape(
            name=f"h{number:03}",
            cores_per_node=cores,
            # Kernels of equal hosts differ by a few MiB from boot to boot.
            memory_mib=(memory - number % 7, memory - number % 5),
            nics=(make_nic("dpdk1", node),),
        )
    )
    nics = tuple(dataclasses.replace(nic, mac=f"02:00:00:00:00:{number:02x}") for nic in made.nics)
    return dataclasses.replace(made, nics=nics)


def fleet() -> list[HostInventory]:
    hosts = [host(number) for number in range(60)]
    hosts += [host(number, cores=16) for number in range(60, 90)]
    return [*hosts, host(90, memory=49152), host(91, node=1)]


def test_equal_hosts_are_one_group() -> None:
    groups = group_fleet(fleet())
    assert [len(group.members) for group in groups] == [60, 30, 1, 1]
    assert sorted(name for group in groups for name in group.members) == [
        f"h{number:03}" for number in range(92)
    ]
    assert [node.memory_mib for node in groups[0].representative.nodes] == [65530, 65532]


def test_outliers_say_how_they_differ() -> None:
    by_member = {group.members[0]: group for group in group_fleet(fleet()) if group.differs}
    assert set(by_member) == {"h090", "h091"}
    assert by_member["h090"].differs == (
        "nearest is group1",
        "memory: node 0: 48 GiB, node 1: 48 GiB instead of node 0: 64 GiB, node 1: 64 GiB",
    )
    assert any("on node 1" in text and "on node 0" in text for text in by_member["h091"].differs)


def test_what_tells_groups_apart_is_in_words() -> None:
    groups = group_fleet([dataclasses.replace(host(1), source="commands"), host(2)])
    facets = [dict(group.facets) for group in groups]
    assert [one["virtual functions"] for one in facets] == ["not told by the source", "told"]
    assert facets[0]["distances"] == "10 21; 21 10"
    assert facets[0]["page sizes"] == "2 MiB, 1 GiB"
    assert facets[0]["huge pages by node on the kernel's line"] == "yes"


def test_a_host_that_was_given_twice_is_named() -> None:
    assert find_namesakes(group_fleet([host(1), host(2), host(1, cores=16)])) == ("h001",)
    assert find_namesakes(group_fleet([host(1), host(2)])) == ()


def test_every_group_is_planned_once() -> None:
    calls: list[str] = []

    def plan(one: HostInventory, demand: object) -> HostPlan | Refusal:
        calls.append(one.name)
        return Refusal(host=one.name, constraints=())

    planned = plan_fleet(fleet(), DEMAND, plan=plan)
    assert calls == ["group1", "group2", "group3", "group4"]
    assert len(planned) == 4


def test_a_groups_plan_holds_on_each_of_its_members() -> None:
    for one in plan_fleet(fleet(), DEMAND):
        assert isinstance(one.outcome, HostPlan)
        members = [each for each in fleet() if each.name in one.group.members]
        for member in members:
            for node, planned in zip(member.nodes, one.outcome.nodes, strict=True):
                huge = sum(page.total * page.size_kib // 1024 for page in planned.pages)
                assert huge <= node.memory_mib


def test_a_folder_of_files(tmp_path: Path) -> None:
    for one in fleet()[:3]:
        (tmp_path / f"{one.name}.json").write_text(json.dumps(to_document(one)))
    (tmp_path / "bad.json").write_text("[")
    (tmp_path / ".hidden").write_text("x")
    found, faults = wiring.read_fleet([tmp_path, tmp_path / "h000.json", tmp_path / "gone"])
    assert len(found) == 4
    assert [fault.rpartition("/")[2].partition(":")[0] for fault in faults] == ["bad.json", "gone"]


def test_one_host_alone_is_no_outlier() -> None:
    (group,) = group_fleet([host(1)])
    assert group.differs == ()


def test_the_benchmark_of_plans_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is run by hand, and had not been since a function of it moved."""
    nfv_plan = importlib.import_module("bench.nfv_plan")
    monkeypatch.setattr(nfv_plan, "FLEET", 2 * nfv_plan.SHAPES)
    monkeypatch.setattr(nfv_plan, "ROUNDS", 1)
    monkeypatch.setattr(nfv_plan, "PUBLISHED", nfv_plan.PUBLISHED[:1])
    nfv_plan.main()
    said = capsys.readouterr().out
    assert "one plan of 1 published machines" in said
    assert "40 inventories of 20 shapes" in said
