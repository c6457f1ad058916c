"""The plan: what is done to whom, what is left alone, and where its numbers come from."""

import dataclasses

import pytest

from isthmus import errors
from isthmus.build.fleet.check import check_fleet
from isthmus.build.fleet.resolve import resolve_fleet
from isthmus.build.plan.plan import make_plan
from isthmus.build.plan.rates import choose_rates
from isthmus.build.plan.spec import digest
from isthmus.model.rack.build import BuildPlan, Stage, Standing, Verb
from isthmus.model.rack.fleet import Fleet
from isthmus.model.rack.machine import Machine
from isthmus.testing.build.build_fleet import SMALL, make_fleet


def load(text: str = SMALL) -> tuple[Fleet, tuple[Machine, ...]]:
    fleet = check_fleet(text).fleet
    assert fleet is not None
    return fleet, resolve_fleet(fleet)


def verbs(plan: BuildPlan) -> dict[str, Verb]:
    return {one.node: one.verb for one in plan.nodes}


def active(machine: Machine, **more: float) -> Standing:
    at = {"enroll": 0.0, "deploy": 60.0, "verify": 100.0, "active": 130.0} | more
    return Standing(
        node=machine.name,
        stage=Stage.ACTIVE,
        spec=digest(machine),
        entered=tuple((Stage(name), when) for name, when in at.items()),
        facts={"written_bytes": str(400 * 1048576)},
    )


def test_everything_is_built_where_nothing_is() -> None:
    fleet, machines = load()
    plan = make_plan(fleet, machines, {})
    assert set(verbs(plan).values()) == {Verb.BUILD}
    assert [wave.nodes for wave in plan.waves] == [("c1", "c2", "c3", "n1")]
    assert not any(one.destroys for one in plan.nodes)
    assert "192.0.2.20" in " ".join(plan.nodes[0].steps)
    assert "203.0.113.1" in plan.nodes[0].steps[0]


def test_what_is_there_is_left_alone() -> None:
    fleet, machines = load()
    c1, c2, *_ = machines
    standings = {
        "c1": active(c1),
        "c2": dataclasses.replace(active(c2), spec="of another image"),
        "c3": Standing(node="c3", stage=Stage.QUARANTINED, why="it never asked"),
        "n1": Standing(node="n1", stage=Stage.DEPLOY, attempt=2),
        "old": Standing(node="old", stage=Stage.ACTIVE),
    }
    plan = make_plan(fleet, machines, standings)
    assert verbs(plan) == {
        "c1": Verb.KEEP,
        "c2": Verb.DIFFERS,
        "c3": Verb.QUARANTINED,
        "n1": Verb.GO_ON,
        "old": Verb.LEFT,
    }
    assert [wave.nodes for wave in plan.waves] == [("n1",)]
    why = {one.node: one.why for one in plan.nodes}
    assert "--rebuild c2" in why["c2"]
    assert why["c3"] == "it never asked; isthmus build release c3"
    assert len(plan.notes) == 3


def test_a_disk_is_written_anew_only_by_name() -> None:
    fleet, machines = load()
    standings = {one.name: active(one) for one in machines}
    assert make_plan(fleet, machines, standings).waves == ()
    plan = make_plan(fleet, machines, standings, rebuild=["n1"])
    assert [one.node for one in plan.nodes if one.destroys] == ["n1"]
    with pytest.raises(errors.NotFound, match="there is no node n2 to rebuild; there is c1"):
        make_plan(fleet, machines, standings, rebuild=["n2"])


def test_a_plan_can_be_confined() -> None:
    fleet, machines = load()
    assert make_plan(fleet, machines, {}, only=["r2"]).waves[0].nodes == ("c3", "n1")
    assert len(make_plan(fleet, machines, {}, only=["north"]).waves[0].nodes) == 4
    with pytest.raises(errors.NotFound, match="there is no node, rack or site r3"):
        make_plan(fleet, machines, {}, only=["r3"])


def test_a_changed_file_changes_the_digest() -> None:
    _, (c1, *_) = load()
    _, (same, *_) = load(SMALL.replace("least: 1", "least: 0"))
    _, (other, *_) = load(SMALL.replace("/dev/vda", "/dev/vdb"))
    assert digest(c1) == digest(same) != digest(other)


def test_rates_say_where_they_come_from() -> None:
    fleet, machines = load()
    assumed = choose_rates(fleet, [])
    assert all(
        one.source.startswith(("assumed: ", "builder.", "limits.")) for one in assumed.values()
    )
    one_machine = choose_rates(fleet, [active(machines[0])])
    assert one_machine["boot_s"].source.startswith("assumed")
    seen = [active(one, deploy=50.0 + 10 * number) for number, one in enumerate(machines)]
    measured = choose_rates(fleet, seen)
    assert (measured["boot_s"].value, measured["boot_s"].source[:29]) == (
        65.0,
        "measured: median of 4 machine",
    )
    assert measured["verify_s"].value == 30.0
    assert measured["install_s"].source.startswith("assumed")


def test_an_estimate_is_bound_by_disk_or_wire() -> None:
    """800 machines of 620 MiB: 484 GiB over 10 Gbit/s; one alone: as fast as its disk."""
    fleet, machines = load(make_fleet(797, limits="per_rack: 800"))
    plan = make_plan(fleet, machines, {})
    rates = {one.name: one.value for one in plan.rates}
    wire_s = 800 * 620 / rates["wire_mib_per_s"]
    expected = 800 / 25 + rates["boot_s"] + wire_s + rates["verify_s"]
    assert plan.waves[0].estimate_s == pytest.approx(expected, abs=0.2)
    assert plan.waves[0].slowest == "writing disks"
    alone = make_plan(fleet, machines, {}, only=["n7"]).waves[0]
    assert alone.estimate_s == pytest.approx(1 / 25 + 360 + 620 / 450, abs=0.2)
