"""A call that carries out a batch answers within seconds, however long one item takes."""

import uuid
import warnings
from typing import Any

import pytest

from isthmus import errors
from isthmus.journal import turn as turn_form
from isthmus.model.item import Item, ItemResult, taken
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.central.site_api.report import take
    from isthmus.neutron.db import guard
    from isthmus.neutron.local.materialise import Materialiser
    from isthmus.neutron.local.trunk import subports

SITE = SiteName("site1")


class Clock:
    """Stands still but for what is carried out."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(turn_form, "time", made)
    return made


def make_items(*kinds: ResourceType) -> list[Item]:
    return [Item(kind, str(uuid.uuid4()), {}) for kind in kinds]


def test_items_are_begun_as_long_as_there_is_time(clock: Clock) -> None:
    turn = turn_form.Turn()
    done = []
    for one in turn.take(range(10)):
        done.append(one)
        clock.now += turn_form.ENOUGH_S / 2.5
    assert (done, turn.over) == ([0, 1, 2], True)
    assert list(turn.take(range(10))) == [0]
    assert list(turn.take([])) == []


def test_all_are_carried_out_where_there_is_time(clock: Clock) -> None:
    bounded, unbounded = turn_form.Turn(), turn_form.Turn(bounded=False)
    assert list(bounded.take(range(100))) == list(range(100))
    clock.now += 10 * turn_form.ENOUGH_S
    assert list(unbounded.take(range(100))) == list(range(100))
    assert not bounded.over
    assert not unbounded.over


def test_a_long_item_ends_in_time_and_is_a_part_further(clock: Clock) -> None:
    many = [{"port_id": str(number)} for number in range(4 * subports.AT_ONCE)]

    def deal_with(turn: turn_form.Turn | None) -> list[str]:
        done: list[str] = []
        with guard.Guarded(None, subject=turn):
            for some in subports.in_time("t", many, "come"):
                done += [one["port_id"] for one in some]
                clock.now += turn_form.ENOUGH_S / 1.5
        return done

    assert len(deal_with(None)) == len(many)
    assert len(deal_with(turn_form.Turn(bounded=False))) == len(many)
    turn = turn_form.Turn()
    with pytest.raises(errors.Unfinished, match=f"^{2 * subports.AT_ONCE} subports"):
        deal_with(turn)
    # Some come even where other items have had all the time.
    with pytest.raises(errors.Unfinished, match=f"^{3 * subports.AT_ONCE} subports"):
        deal_with(turn)


@pytest.mark.parametrize("slow", [False, True])
def test_a_busy_central_answers_what_it_has_reached(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    def take_one(_site: Site, _sequence: int, item: Item) -> ItemResult:
        clock.now += turn_form.ENOUGH_S if slow else 0
        return taken(item)

    monkeypatch.setattr(take, "_take_one", take_one)
    site = Site(name=SITE, region=SITE, availability_zones=(SITE,), service_user="s")
    items = make_items(*[ResourceType.PORT] * 10)
    results = take.take_report(site, 1, items)
    assert [one.id for one in results] == [one.id for one in items[: 1 if slow else 10]]


@pytest.mark.parametrize("slow", [False, True])
def test_a_busy_site_answers_what_it_has_reached_in_the_order_of_making(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    kinds = ResourceType.PORT, ResourceType.SHADOW, ResourceType.NETWORK, ResourceType.SUBNET
    port, come, network, subnet = items = make_items(*kinds)
    gone = Item(ResourceType.SHADOW, str(uuid.uuid4()), None)
    done = []

    def one(item: Item, *_: Any, **__: Any) -> ItemResult:
        clock.now += turn_form.ENOUGH_S if slow else 0
        done.append(item)
        return taken(item)

    def shadows(some: list[Item], _work: Any) -> dict[Any, ItemResult]:
        done.extend(some)
        return {(one.type, one.id): taken(one) for one in some}

    materialiser = Materialiser(None, SITE)
    monkeypatch.setattr(materialiser, "_one", one)
    monkeypatch.setattr(materialiser, "_shadows", shadows)
    results = materialiser.apply([*items, gone], sequence=1)
    assert done == ([gone, network] if slow else [gone, network, subnet, port, come])
    assert [one.id for one in results] == [one.id for one in [*items, gone] if one in done]
    done.clear()
    # What a bundle brings comes whole, or not at all.
    assert len(materialiser.bring([*items, gone], seen=1)) == len(items) + 1
