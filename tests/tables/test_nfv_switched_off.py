"""Hosts once called clean though something was off: links, services, sockets, datapaths, names."""

import dataclasses
import functools
from dataclasses import replace

import pytest
from tests.tables.test_nfv_called_clean import (
    BARE,
    BOTH,
    PLAN,
    PLANNED,
    STATE,
    bond,
    guest,
    see_named,
)

from isthmus.facts.host.services import Service, parse_units
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Answer, Severity, is_clean
from isthmus.nfv.check import host as checks
from isthmus.nfv.check.state import HostState
from isthmus.testing.nfv.nfv_state import with_hardware

UNIT = "Id={}.service\nLoadState=loaded\nActiveState={}\nUnitFileState={}\n"
changed = functools.partial(dataclasses.replace, STATE)


def units(*rows: tuple[str, str, str]) -> HostState:
    return changed(services=parse_units("\n".join(UNIT.format(*row) for row in rows)))


def linked(state: HostState, link: str) -> HostState:
    ports = tuple(
        replace(one, link_state=link) if one.type == "dpdk" else one for one in state.interfaces
    )
    return replace(state, interfaces=ports)


def in_bond() -> HostState:
    state = linked(bond("x0", "x1"), "down")
    name = next(one.name for one in state.interfaces if one.type == "dpdk")
    ports = tuple(
        replace(one, interfaces=(name, "x1")) if one.name == "bond-x" else one
        for one in state.ports
    )
    return replace(state, ports=ports)


def connected(status: str, log: str = "") -> HostState:
    state = guest()
    ports = tuple(
        replace(one, status={"numa": "0", "status": status}) if one.name == "vhu1" else one
        for one in state.interfaces
    )
    return replace(state, interfaces=ports, switch_log=log)


DENIED = (
    "2026-01-01T00:00:00.000Z|00042|dpdk|ERR|VHOST_CONFIG: (/var/lib/vhost_sockets/vhu1) failed to "
    "connect: Permission denied"
)
OFF = ("nova-compute", "inactive", "disabled")
MASKED = ("openstack-nova-compute", "inactive", "masked")
#: what is wrong: (the host, code, part of the sentence, with a plan or without)
WRONG: dict[str, tuple[HostState, str, str, tuple[HostPlan | None, ...]]] = {
    "no cable in a polled port": (
        linked(STATE, "down"),
        "port.down",
        "dpdk0 has no link",
        BOTH,
    ),
    "no cable in a bond's member": (in_bond(), "port.down", "dpdk0 has no link", BOTH),
    "Open vSwitch may not use an instance's socket": (
        connected("disconnected", DENIED),
        "instance.port",
        "vhu1 of i1 is not connected: Open vSwitch may not use its socket",
        BOTH,
    ),
    "nova-compute is disabled": (units(OFF), "service.down", "nova-compute is switched", PLANNED),
    "nova-compute is masked": (units(MASKED), "service.down", "nova-compute is switched", PLANNED),
    "the SR-IOV agent is disabled": (
        units(("nova-compute", "active", "enabled"), ("neutron-sriov-agent", "failed", "disabled")),
        "service.down",
        "Neutron's SR-IOV agent is switched off",
        PLANNED,
    ),
    "our devices will not be made at the next boot": (
        units(("nova-compute", "active", "enabled"), ("isthmus-nfv-devices", "active", "disabled")),
        "service.down",
        "after the next boot drivers and virtual functions will not be as planned",
        PLANNED,
    ),
    "our pages were not made, and will not be": (
        units(("nova-compute", "active", "enabled"), ("isthmus-hugepages", "inactive", "disabled")),
        "service.down",
        "isthmus-hugepages did not run to its end",
        PLANNED,
    ),
    "br-int is the kernel's": (
        changed(datapaths={**STATE.datapaths, "br-int": "system"}),
        "bridge.datapath",
        "br-int is on the datapath system of the kernel's",
        BOTH,
    ),
    "br-tun is the kernel's": (
        changed(datapaths={**STATE.datapaths, "br-int": "netdev", "br-tun": "system"}),
        "bridge.datapath",
        "br-tun is on the datapath system",
        BOTH,
    ),
    "the port with functions has another name": (
        with_hardware(
            STATE,
            nics=tuple(
                replace(one, name="enp48s0") if one.name == "s0" else one
                for one in STATE.inventory.nics
            ),
        ),
        "nic.name",
        "0000:30:00.0 is called enp48s0, planned was s0",
        PLANNED,
    ),
    "a folder that is the switch's own": (
        changed(sockets="755 openvswitch openvswitch"),
        "vhost.folder",
        "QEMU's to read only",
        PLANNED,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    see_named(*WRONG[name])


FINE: dict[str, HostState] = {
    "the other of two names of nova-compute is off": units(
        OFF, ("openstack-nova-compute", "active", "enabled")
    ),
    "nova-compute's unit is off and its container runs": changed(
        services=(*units(OFF).services, Service("nova_compute", is_there=True, runs=True))
    ),
    "libvirt is started when somebody asks": units(
        ("nova-compute", "active", "enabled"), ("libvirtd", "inactive", "disabled")
    ),
    "br-int is in user space": changed(datapaths={**STATE.datapaths, "br-int": "netdev"}),
    "the folder is the switch's, and QEMU's group writes": changed(
        sockets="2775 openvswitch hugetlbfs"
    ),
    "a port of an instance is connected": connected("connected"),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_odd_but_valid_is_clean(name: str) -> None:
    codes = {one.code for one in checks.check_host(FINE[name], PLAN).findings}
    # Nobody polls the port in this state, which is another fault.
    assert codes <= {"rxq.unpolled"}


def test_a_port_whose_guest_has_not_started_is_told_and_no_fault() -> None:
    for plan in BOTH:
        (one,) = checks.check_host(connected("disconnected"), plan).findings
        assert (one.code, one.severity) == ("instance.port", Severity.ADVICE)
        assert "no packet passes so far" in one.message


def test_links_that_older_facts_do_not_have_were_not_seen() -> None:
    report = checks.check_host(linked(STATE, ""), None)
    assert {one.check: one.answer for one in report.rulings}["polled links"] is Answer.NOT_SEEN
    assert "check.unseen" in {
        one.code for one in checks.check_host(linked(STATE, ""), PLAN).findings
    }


def test_a_host_without_a_plan_may_have_what_it_does_not_use_switched_off() -> None:
    assert BARE == (None,)
    assert is_clean(checks.check_host(units(OFF), None).findings)
