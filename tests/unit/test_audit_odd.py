"""Holdings that are no holdings: what a site may say hides no other site and costs no memory."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.test_audit import NET, World, lease, port, run, world

from isthmus import errors
from isthmus.federation.audits.audit import _plain
from isthmus.federation.audits.holdings import parse_holdings
from isthmus.model.site import SiteName
from isthmus.operate.audit import _compare


def nest(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def compare(state: World) -> set[str]:
    """Audit as the command does; give the sites that cannot be compared."""
    held, odd = {}, set()
    for name, row in state.items():
        try:
            held[SiteName(name)] = parse_holdings(row)
        except errors.ProtocolError:
            odd.add(name)
    central = held.pop(SiteName("central"))
    return odd | set(_compare(central, held, silent={}, jobs=[])[1])


def test_a_value_is_not_spelt_longer_than_it_is() -> None:
    assert len(repr(_plain(nest(20)))) < 100
    assert len(repr(_plain({"a": {"b": nest(20)}}))) < 200


@pytest.mark.parametrize("depth", [25, 800])
def test_a_deep_value_is_a_difference_or_another_form(depth: int) -> None:
    state = world()
    state["one"]["networks"][0]["tags"] = nest(depth)
    assert compare(state) <= {"one"}


def add_odd_port(state: World) -> None:
    state["one"]["ports"] = [{**port(9), "id": 5}]
    state["one"] |= {"ovn": {}, "shadows": []}


def add_odd_keys(state: World) -> None:
    """The same key twice: by one site alone nobody sees what is wrong with its ids."""
    for name, odd in (("one", 5), ("two", "port2")):
        state[name]["ovn"]["port_keys"] = [{"port_id": odd, "network_id": NET, "key": 1}]


def add_empty_lease(state: World) -> None:
    state["one"]["leases"] = [lease(1, "port_key", NET, "one", 9, 8)]


def add_endless_key(state: World) -> None:
    state["one"]["datapaths"] = [{"network_id": NET, "datapath_key": float("inf")}]


@pytest.mark.parametrize("odd", [add_odd_port, add_odd_keys, add_empty_lease, add_endless_key])
def test_an_odd_site_hides_no_other(odd: Callable[[World], None]) -> None:
    state = world()
    odd(state)
    assert compare(state) <= {"one"}


def test_of_an_endless_difference_a_part_is_shown() -> None:
    state = world()
    state["one"]["networks"][0]["tags"] = [f"tag{number}" for number in range(50_000)]
    (found,) = run(state)
    assert found.evidence.startswith("tags: central [], here ['tag0', ")
    assert found.evidence.endswith(" characters)")
    assert len(found.evidence) < 20_000
