"""Cells that are asked at once, and hosts that are filled."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import errors
from isthmus.cells.arrays import make_arrays
from isthmus.cells.ask import ask_cells
from isthmus.cells.capacity import count_flavor, list_capacity
from isthmus.cells.fill import Order, State, count_sets, plan_spread
from isthmus.cells.request import plan_request
from isthmus.config.devices import read_devices
from isthmus.model.compute.cloud import (
    CELL0_UUID,
    Cell,
    CellAddress,
    ComputeCloud,
    ComputeHost,
    Flavor,
    Provider,
    ResourceInventory,
)
from isthmus.nfv.compute.numa import NumaFit


def addresses(*names: str) -> tuple[CellAddress, ...]:
    return tuple(
        CellAddress(id=number, cell=Cell(name=name, uuid=name), database="")
        for number, name in enumerate(names)
    )


def make_cloud(*free: int) -> ComputeCloud:
    numbers = range(1, len(free) + 1)
    return ComputeCloud(
        cells=(),
        hosts=tuple(
            ComputeHost(name=str(one), node=str(one), uuid=str(one), cell="c") for one in numbers
        ),
        providers=tuple(Provider(id=one, uuid=str(one), name="", root=one) for one in numbers),
        inventories=tuple(
            ResourceInventory(provider=one, resource_class=name, capacity=count * each, used=0)
            for one, count in zip(numbers, free, strict=True)
            for name, each in (("VCPU", 1), ("MEMORY_MB", 512))
        ),
    )


def flavor(name: str, vcpus: int) -> Flavor:
    return Flavor(name=name, flavorid=name, vcpus=vcpus, ram_mib=512 * vcpus)


def test_a_cell_that_hangs_costs_the_budget_and_no_other_its_answer() -> None:
    release = threading.Event()

    def ask(address: CellAddress) -> str:
        if address.cell.name == "hung":
            release.wait()
        if address.cell.name == "down":
            raise errors.Unreachable("nobody there")
        return address.cell.name

    try:
        found = ask_cells(addresses("east", "hung", "down", "west", CELL0_UUID), ask, 0.2)
    finally:
        release.set()
    assert (found["east"], found["west"]) == ("east", "west")
    assert isinstance(found["hung"], errors.TimedOut)
    assert isinstance(found["down"], errors.Unreachable)
    assert CELL0_UUID not in found


def test_a_mistake_of_ours_is_not_taken_for_a_cell_that_is_down() -> None:
    def ask(_: CellAddress) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_cells(addresses("east"), ask, 60.0)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=8),
    st.integers(0, 40),
    st.sampled_from(Order),
)
def test_instances_go_where_there_is_space(fits: list[int], count: int, order: Order) -> None:
    chosen = plan_spread(np.array(fits), count, order)
    assert chosen.sum() == min(count, sum(fits))
    assert all(0 <= one <= most for one, most in zip(chosen.tolist(), fits, strict=True))
    left = [most - one for one, most in zip(chosen.tolist(), fits, strict=True)]
    if order is Order.SPREAD:
        # Nobody is left with more than one beyond what is left to somebody who got something.
        took = [rest for rest, one in zip(left, chosen.tolist(), strict=True) if one]
        assert not took or max(left) <= min(took) + 1 or count >= sum(fits)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=6),
    st.integers(1, 20),
    st.sampled_from(Order),
)
def test_what_is_reserved_is_no_longer_free(free: list[int], count: int, order: Order) -> None:
    arrays = make_arrays(make_cloud(*free))
    small, large = flavor("small", 2), flavor("large", 3)
    before = count_flavor(arrays, small, None).fits.sum()
    state = State(arrays, None)
    taken = state.reserve(small, count, order)
    assert taken == min(count, before)
    assert count_flavor(state.arrays, small, None).fits.sum() == before - taken
    assert count_flavor(arrays, small, None).fits.sum() == before
    left = sum(free) - 2 * taken
    assert count_flavor(state.arrays, large, None).fits.sum() <= left // 3


def test_sets_are_found_across_hosts() -> None:
    arrays = make_arrays(make_cloud(5, 5, 2))
    flavors = [flavor("a", 4), flavor("b", 1)]
    assert count_sets(arrays, None, flavors, {"a": 1, "b": 2}) == (2, 2)
    assert count_sets(arrays, None, flavors, {"a": 2, "b": 4}) == (1, 1)


def test_a_host_of_two_aggregates_counts_for_each() -> None:
    cloud = make_cloud(4)
    (host,) = cloud.hosts
    named = ComputeHost(
        name=host.name, node=host.node, uuid=host.uuid, cell="c", aggregates=("fast", "large")
    )
    arrays = make_arrays(
        ComputeCloud(
            cells=(), hosts=(named,), providers=cloud.providers, inventories=cloud.inventories
        )
    )
    found = list_capacity(arrays, [flavor("a", 2)], None, "aggregate")
    assert [(one.scope, one.fits) for one in found] == [("fast", 2), ("large", 2)]
    with pytest.raises(errors.Invalid, match="parted by"):
        list_capacity(arrays, [flavor("a", 2)], None, "rack")


def test_a_trait_that_placement_does_not_know_leaves_no_host() -> None:
    """Placement refuses the question, also where the trait is forbidden."""
    cloud = replace(make_cloud(4, 2), trait_names=frozenset({"CUSTOM_GOLD"}))
    for trait, fits in (("CUSTOM_GOLD", 6), ("CUSTOM_NEVER", 0)):
        for suffix in ("", "1"):
            specs = {f"trait{suffix}:{trait}": "forbidden", f"resources{suffix}:VCPU": "1"}
            asks = replace(flavor("one", 1), extra_specs=specs)
            (row,) = list_capacity(make_arrays(cloud), [asks], None, "cloud")
            assert (row.fits, row.error) == (fits, ""), specs
    (row,) = list_capacity(make_arrays(replace(cloud, trait_names=None)), [asks], None, "cloud")
    assert row.fits == 6


GPU = json.dumps(
    {"name": "gpu", "vendor_id": "10de", "product_id": "1001", "numa_policy": "required"}
)


def pci_stats(*rows: tuple[str, str, int, str]) -> str:
    """Return what Nova writes of pools: kind, address, count and product of each."""

    def wrap(data: object) -> dict[str, object]:
        return {"nova_object.data": data}

    pools = [
        {
            "vendor_id": "10de",
            "product_id": product,
            "numa_node": None,
            "count": count,
            "tags": {"dev_type": kind, "address": address},
        }
        for kind, address, count, product in rows
    ]
    return json.dumps(wrap({"objects": [wrap(one) for one in pools]}))


def test_devices_bind_and_are_taken_up() -> None:
    rules = read_devices([GPU], in_placement=False)
    cloud = replace(make_cloud(9, 9, 9), devices=rules)
    stats = (pci_stats(("type-PCI", "a", 1, "1001"), ("type-PCI", "b", 2, "1001")), "", "")
    hosts = tuple(replace(one, pci=pci) for one, pci in zip(cloud.hosts, stats, strict=True))
    arrays, fit = make_arrays(replace(cloud, hosts=hosts)), NumaFit(hosts, rules)
    asks = replace(flavor("gpu", 1), extra_specs={"pci_passthrough:alias": "gpu:1"})
    (row,) = list_capacity(arrays, [asks], fit, "cloud")
    assert (row.fits, row.exact, row.bindings[0].name) == (3, True, "NUMA nodes and PCI devices")
    state = State(arrays, fit)
    assert state.reserve(asks, 2, Order.SPREAD) == 2
    (row,) = list_capacity(state.arrays, [asks], state.fit, "cloud")
    assert row.fits == 1
    other = replace(asks, extra_specs={"pci_passthrough:alias": "fpga:1"})
    (row,) = list_capacity(arrays, [other], fit, "cloud")
    assert (row.fits, row.exact, "fpga" in row.note) == (27, False, True)


def test_a_card_is_given_whole_or_in_parts() -> None:
    whole = json.dumps({**json.loads(GPU), "name": "pf", "device_type": "type-PF"})
    part = json.dumps({**json.loads(GPU), "product_id": "2", "name": "vf"})
    rules = read_devices([whole, part], in_placement=False)
    rows = [(kind, card, count, product) for card in "ab" for kind, count, product in CARD]
    hosts = (replace(make_cloud(9).hosts[0], pci=pci_stats(*rows)),)
    for text, fits in (("pf:1", 2), ("vf:1", 6), ("vf:4", 1), ("vf:1,pf:1", 1), ("pf:2", 1)):
        asks = replace(flavor("one", 1), extra_specs={"pci_passthrough:alias": text})
        assert NumaFit(hosts, rules).count(asks).tolist() == [fits], text


CARD = (("type-PF", 1, "1001"), ("type-VF", 3, "2"))


def test_placement_is_asked_for_devices() -> None:
    traits = json.dumps(
        {"name": "fast", "resource_class": "gpu", "traits": "fast,HW_GPU_API_VULKAN"}
    )
    rules = read_devices([GPU, traits], in_placement=True)
    asks = replace(flavor("one", 1), extra_specs={"pci_passthrough:alias": "gpu:2,fast:1"})
    request = plan_request(asks, devices=rules)
    assert [dict(one.resources) for one in request.groups] == [
        {"CUSTOM_PCI_10DE_1001": 1},
        {"CUSTOM_PCI_10DE_1001": 1},
        {"CUSTOM_GPU": 1},
    ]
    assert request.groups[2].required == {"CUSTOM_FAST", "HW_GPU_API_VULKAN"}
    assert plan_request(asks, devices=replace(rules, in_placement=False)).groups == ()
