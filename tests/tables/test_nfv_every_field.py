"""Every field of a plan is read by some check: another value there is not called clean.

Walked field by field over plans that between them have everything; what no check reads must stand
in `NOT_OF_THE_HOST` with its reason.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from isthmus.model.verdict import Answer
from isthmus.nfv.check import host as checks
from isthmus.testing.nfv import nfv_draw
from isthmus.testing.nfv.nfv_host import TWO_NODES, make_host, make_nic
from isthmus.testing.nfv.nfv_state import make_plan, make_state

HOST = make_host(
    dataclasses.replace(TWO_NODES, nics=(*TWO_NODES.nics, make_nic("a1", 0, bus=0x11)))
)
POLLED = """
physical_networks:
- {name: left, by: ovs-dpdk, nics: [a0, a1], bond: true, bond_mode: balance-tcp, lacp: active,
   packet_rate_mpps: 2, rx_descriptors: 1024}
- {name: right, by: ovs-dpdk, nics: [b0]}
- {name: direct, by: sriov, nics: [s0], vfs: 4, trusted: true}
- {name: mgmt, by: kernel, nics: [k0]}
tunnel_network: left
backend: ovs
host: {shared_cores_per_node: 1}
pmd: {siblings: idle, memory_channels: 4, per_port_memory: true}
flavors:
- {name: f, vcpus: 2, ram_mib: 2048, count: 1, networks: [left]}
- {name: g, vcpus: 2, ram_mib: 2048, count: 1, page_size: 2MiB}
"""
OFFLOADED = """
physical_networks:
- {name: direct, by: switchdev, nics: [s0], vfs: 2, spoof_check: false}
flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [direct]}]
"""
#: field -> why no check of a host reads it.
NOT_OF_THE_HOST = {
    "host": "a name: plans of a group carry that of the group",
    "flavors": "the control plane's",
    "crossings": "said to the reader",
    "notes": "said to the reader",
    "nodes.memory_mib": "what the plan was made on; pages are what counts",
    "nodes.host_memory_mib": "what is left over; Nova's reserve is held against the plan",
    "nodes.socket_memory_mib": "why dpdk-socket-mem is what it is, which is checked",
    "nodes.mempools": "why dpdk-socket-mem is what it is, which is checked",
    "nodes.ports": "a list of what other fields have",
    "neutron.ovn/vhost_sock_dir": "the control plane's",
    "dpdk_ports.physical_network": "bridge mappings have it, which are checked",
    "dpdk_ports.nic": "a name that is gone once DPDK has the port; its address counts",
    "dpdk_ports.is_local": "tells whether polling from afar is planned",
    "dpdk_ports.carries_management": "leave that apply needs",
    "kernel_ports.physical_network": "bridge mappings have it, which are checked",
    "kernel_ports.carries_management": "leave that apply needs",
    "sriov.physical_network": "Nova's device_spec has it, which is checked",
}


PLANS = {"polled": make_plan(HOST, POLLED), "offloaded": make_plan(HOST, OFFLOADED)}


def other(value: Any) -> Any:
    """Give another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return hex(int(value, 16) ^ 0xF0000) if value.startswith("0x") else f"{value}9"
    if value is None:
        return 7
    raise AssertionError(f"no other value for {value!r}")


def changes(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: C901 - a branch for each kind
    """Walk a value: give the path of each field, and the whole with that one changed."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            for path, changed in changes(getattr(value, field.name)):
                name = f"{field.name}.{path}" if path else field.name
                yield name, dataclasses.replace(value, **{field.name: changed})
    elif isinstance(value, Mapping):
        for key, one in value.items():
            for _, changed in changes(one):
                yield str(key), {**value, key: changed}
                break
    elif isinstance(value, tuple):
        if not any(map(dataclasses.is_dataclass, value)):
            yield "", value[1:] if value else (1,)
        for index, one in enumerate(value):
            if dataclasses.is_dataclass(one):
                for path, changed in changes(one):
                    yield path, (*value[:index], changed, *value[index + 1 :])
    else:
        yield "", other(value)


def exempt(path: str) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in NOT_OF_THE_HOST)


def walk() -> Iterator[tuple[str, str, Any]]:
    for name, plan in PLANS.items():
        for path, changed in changes(plan):
            if not exempt(path):
                yield name, path, changed


@pytest.mark.parametrize("name", PLANS)
def test_a_host_as_planned_is_clean(name: str) -> None:
    report = checks.check_host(make_state(HOST, PLANS[name]), PLANS[name])
    assert report.findings == ()
    assert report.count(Answer.NOT_SEEN) == 0


def test_another_value_in_any_field_is_found() -> None:
    states = {name: make_state(HOST, plan) for name, plan in PLANS.items()}
    found: dict[str, bool] = {}
    for name, path, changed in walk():
        wrong = bool(checks.check_host(states[name], changed).findings)
        # A plan without DPDK has fields that mean nothing there; one that is read in some plan is.
        found[path] = found.get(path, False) or wrong
    assert not [path for path, is_found in found.items() if not is_found]
    assert len(found) > 60


def test_every_field_that_no_check_reads_has_its_reason_and_is_there() -> None:
    paths = {path for plan in PLANS.values() for path, _ in changes(plan)}
    assert all(
        any(path == name or path.startswith(f"{name}.") for path in paths)
        or name in {"neutron.ovn/vhost_sock_dir", "crossings"}
        for name in NOT_OF_THE_HOST
    )


@pytest.mark.parametrize("number", range(20))
def test_twenty_drawn_plans_are_clean_where_they_are_put_in_place(number: int) -> None:
    host, _, plan = nfv_draw.draw_plan(5000 + number)
    state = make_state(host, plan)
    assert checks.check_host(state, plan).findings == ()
