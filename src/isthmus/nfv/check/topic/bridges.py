"""Checks of Open vSwitch's bridges and bonds."""

from collections.abc import Iterator

from isthmus.facts.host.ovs import BONDS, PORTS
from isthmus.model.host.host_plan import DpdkPortPlan, HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import (
    Rule,
    Unseen,
    drift,
    switch_runs,
    unless_hidden,
    where_planned,
)
from isthmus.nfv.check.state import HostState


def bonds_of(plan: HostPlan) -> dict[str, list[DpdkPortPlan]]:
    """Return the ports of each planned bond."""
    found: dict[str, list[DpdkPortPlan]] = {}
    for port in plan.dpdk_ports:
        if port.bond:
            found.setdefault(port.bond, []).append(port)
    return found


def check_bonds(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each planned bond is one, of its members, in its mode, and LACP has come to terms."""
    assert plan is not None
    there = {one.name: one for one in state.ports}
    for name, members in bonds_of(plan).items():
        one = there.get(name)
        wanted = tuple(sorted(port.name for port in members))
        if one is None or set(one.interfaces) != set(wanted):
            yield drift(
                "bond.missing" if one is None else "bond.members",
                name,
                f"{name} is no bond of {', '.join(wanted)}"
                + ("" if one is None else f", but of {', '.join(one.interfaces)}"),
                "no such Port" if one is None else f"Port {name} interfaces",
            )
            continue
        for what, asked, given in (
            ("mode", {port.bond_mode for port in members}, one.bond_mode),
            ("lacp", {port.lacp for port in members}, one.lacp or "off"),
        ):
            for planned in sorted(asked - {"", given}):
                yield drift(
                    f"bond.{what}",
                    name,
                    f"{name} has {what} {given or 'not set'}, planned is {planned}",
                    f"Port {name} {'bond_mode' if what == 'mode' else what}: {given}",
                )


def check_running_bonds(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each bond, planned or not, has come to terms, and all its members carry packets."""
    del plan
    members = {one.name: one.interfaces for one in state.ports}
    for name, runs in state.bonds.items():
        if runs.lacp == "configured":
            yield Verdict(
                code="bond.lacp",
                severity=Severity.DEGRADED,
                subject=Subject(name),
                message=f"LACP of {name} has not come to terms with the other side",
                evidence="bond/show: lacp_status: configured",
                remedy="configure LACP on the other side's ports, and see that their links are up",
            )
        down = [member for member in members.get(name, ()) if member not in runs.enabled]
        if not down:
            continue
        yield Verdict(
            code="bond.down",
            severity=Severity.DEGRADED,
            subject=Subject(name),
            message=f"{', '.join(down)} of {name} carry no packets",
            evidence=f"bond/show {name}: enabled are {', '.join(runs.enabled) or 'none'}",
            remedy="look at the link of each, and at the other side",
        )


def has_bonds(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where a port of several interfaces is there, or planned."""
    planned = plan is not None and bonds_of(plan)
    there = any(len(one.interfaces) > 1 for one in state.ports) or state.bonds
    return "" if planned or there else unless_hidden(state, "no bond is there", PORTS, BONDS)


def bridges_of(plan: HostPlan) -> set[str]:
    """Return the planned bridges."""
    return {one.bridge for one in plan.dpdk_ports} | {one.bridge for one in plan.kernel_ports}


def check_bridges(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each planned bridge is there, on the datapath that its ports need."""
    assert plan is not None
    kind = "netdev" if plan.dpdk_ports else "system"
    for bridge in sorted(bridges_of(plan)):
        given = state.datapaths.get(bridge)
        if given is None or given != kind:
            yield drift(
                "bridge.missing" if given is None else "bridge.datapath",
                bridge,
                f"there is no bridge {bridge}"
                if given is None
                else f"{bridge} is on the datapath {given}, planned is {kind}",
                "no such Bridge" if given is None else f"Bridge {bridge} datapath_type: {given}",
            )


PRACTICE = (Rule(check_running_bonds, (PORTS, BONDS), has_bonds, switch_runs),)
PLANNED = (
    Rule(check_bonds, (PORTS,), where_planned(bonds_of, "no bond is planned")),
    Rule(check_bridges, (PORTS,), where_planned(bridges_of, "no bridge is planned")),
)
