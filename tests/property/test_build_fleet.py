"""What holds for every fleet file and every plan of one."""

import copy
from collections import Counter
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.build.fleet.check import check_fleet
from isthmus.build.fleet.document import read_document
from isthmus.build.fleet.resolve import resolve_fleet
from isthmus.build.plan.plan import make_plan
from isthmus.build.plan.waves import plan_waves
from isthmus.model.rack.fleet import Limits
from isthmus.testing.build.build_fleet import SMALL, make_fleet

VALUES = read_document(SMALL).values
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e9,
    "",
    "x",
    "192.0.2.5",
    "boot",
    [],
    ["x"],
    {},
    {"x": 1},
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    if isinstance(value, dict | list):
        rows = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in rows:
            found += paths(one, (*here, key))
    return found


def broken(changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    values = copy.deepcopy(VALUES)
    for path, new in changes:
        holder = values
        try:
            for part in path[:-1]:
                holder = holder[part]
            if new == "<gone>":
                del holder[path[-1]]
            else:
                holder[path[-1]] = new
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    return values


@given(
    st.lists(
        st.tuples(st.sampled_from(paths(VALUES)), st.sampled_from((*ODD, "<gone>"))),
        min_size=1,
        max_size=6,
    )
)
@settings(deadline=None)
def test_any_file_is_judged(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    """However broken it is: faults with a place inside the file, or a fleet that can be planned."""
    text = yaml.safe_dump(broken(changes))
    reading = check_fleet(text)
    assert (reading.fleet is None) == bool(reading.faults)
    lines = text.splitlines()
    for fault in reading.faults:
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1
        assert fault.message
    if reading.fleet is not None:
        machines = resolve_fleet(reading.fleet)
        addresses = Counter((one.site, one.address) for one in machines)
        assert set(addresses.values()) == {1}
        plan = make_plan(reading.fleet, machines, {})
        assert {one.node for one in plan.nodes if one.wave} == {one.name for one in machines}


@given(
    nodes=st.integers(1, 120),
    per_rack=st.integers(1, 50),
    parallel=st.integers(1, 90),
    limit=st.integers(1, 60),
)
@settings(deadline=None, max_examples=40)
def test_waves_hold_everyone_once(nodes: int, per_rack: int, parallel: int, limit: int) -> None:
    reading = check_fleet(make_fleet(nodes, per_rack=per_rack))
    if reading.fleet is None:  # three controllers in one rack of many
        assert all("spread" in one.message for one in reading.faults)
        return
    machines = resolve_fleet(reading.fleet)
    waves = plan_waves(machines, Limits(parallel=parallel, per_rack=limit))
    assert sorted(one.name for wave in waves for one in wave) == sorted(
        one.name for one in machines
    )
    controllers = [number for number, wave in enumerate(waves) for one in wave if one.is_controller]
    for number, wave in enumerate(waves):
        assert 0 < len(wave) <= parallel
        assert max(Counter(one.rack for one in wave).values()) <= limit
        if number + 1 < len(waves) and len(wave) < parallel:
            # It is not full because every rack that has more is.
            full = {rack for rack, count in Counter(one.rack for one in wave).items()
                    if count == limit}  # fmt: skip
            assert {one.rack for one in waves[number + 1]} <= full
    assert controllers == sorted(controllers)
