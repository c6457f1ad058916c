"""Rows of a dump are found alike whether each is looked at or an index is asked."""

import random
from typing import Any

import pytest

from isthmus.diagnose.dump.rows import IndexedRows

VALUES: tuple[Any, ...] = (
    "a",
    "b",
    "1",
    1,
    0,
    True,
    False,
    None,
    ["a", "b"],
    [1, "a"],
    [],
    {"k": 1},
)


def is_in(value: Any, wanted: list[Any]) -> bool:
    """Tell whether a value, or an element of it, is wanted; True is not 1."""
    values = value if isinstance(value, list) else [value]
    return any(type(one) is type(each) and one == each for one in values for each in wanted)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_found_alike_however_often_it_is_asked(seed: int) -> None:
    dice = random.Random(seed)
    rows = [
        {column: dice.choice(VALUES) for column in "xyz" if dice.random() < 0.9}
        for _ in range(dice.choice([0, 3, 600]))
    ]
    indexed = IndexedRows(rows)
    for _ in range(12):
        columns = dice.sample("xyz", dice.randint(0, 3))
        single = [one for one in VALUES if not isinstance(one, list)]
        filters = {column: dice.sample(single, dice.randint(1, 3)) for column in columns}
        expected = [
            row for row in rows
            if all(is_in(row.get(column), wanted) for column, wanted in filters.items())
        ]  # fmt: skip
        assert indexed.list(filters) == expected, filters


def test_a_port_is_found_by_its_addresses_each_time() -> None:
    ports = [
        {"id": str(number), "fixed_ips": [{"ip_address": f"10.0.0.{number}"}]}
        for number in range(5)
    ]
    rows = IndexedRows(ports)
    for _ in range(4):
        assert rows.list({"fixed_ips": ["ip_address=10.0.0.3"]}) == [ports[3]]
        assert rows.list({"id": ["9"]}) == []
