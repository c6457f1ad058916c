"""Checks of Open vSwitch's bridges and bonds."""

from collections.abc import Iterator

from isthmus.facts.host.ovs import BONDS, INTERFACES, PORTS
from isthmus.model.host.host_plan import DpdkPortPlan, HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import (
    Rule,
    Unseen,
    both,
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


#: Neutron's bridges that all ports of instances are on; patches join bridges of one datapath only.
INTEGRATION = ("br-int", "br-tun")


def check_integration(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Neutron's own bridges are in user space where those of the networks are."""
    del plan
    for bridge in INTEGRATION:
        given = state.datapaths.get(bridge, "netdev")
        if given != "netdev":
            yield drift(
                "bridge.datapath",
                bridge,
                f"{bridge} is on the datapath {given} of the kernel's, and DPDK's ports are on "
                "netdev: no vhost-user port works there, and no packet passes between the two",
                f"Bridge {bridge} datapath_type: {given}",
                "set external_ids:ovn-bridge-datapath-type=netdev (OVN), or [ovs] datapath_type = "
                "netdev (Neutron's agent), and restart what makes it",
            )


def has_polled_bridges(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where a port of DPDK's is on a bridge, or is to be."""
    if (plan and plan.dpdk_ports) or any(one.type == "dpdk" for one in state.interfaces):
        return ""
    return unless_hidden(state, "no port of DPDK's is there", INTERFACES)


def check_polled_links(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each port that DPDK polls has a link."""
    planned = {port.name for port in plan.dpdk_ports} if plan else set()
    bonded = {name for one in state.ports if len(one.interfaces) > 1 for name in one.interfaces}
    for one in state.interfaces:
        if one.type == "dpdk" and one.link_state == "down" and not one.error:
            alone = one.name in planned and one.name not in bonded
            yield drift(
                "port.down",
                one.name,
                f"{one.name} has no link: nothing passes by it",
                f"Interface {one.name}: link_state down",
                "look at its cable, and at the other side",
                Severity.BROKEN if alone else Severity.DEGRADED,
            )


def tells_links(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where the facts have links of DPDK's ports: older ones have not."""
    del plan
    mine = [one for one in state.interfaces if one.type == "dpdk" and not one.error]
    return Unseen((INTERFACES,)) if any(not one.link_state for one in mine) else ""


PRACTICE = (
    Rule(check_running_bonds, (PORTS, BONDS), has_bonds, switch_runs),
    Rule(check_integration, (PORTS,), has_polled_bridges, switch_runs),
    Rule(
        check_polled_links,
        (INTERFACES,),
        has_polled_bridges,
        both(switch_runs, tells_links),
        helped_by=(PORTS,),
    ),
)
PLANNED = (
    Rule(check_bonds, (PORTS,), where_planned(bonds_of, "no bond is planned")),
    Rule(check_bridges, (PORTS,), where_planned(bridges_of, "no bridge is planned")),
)
