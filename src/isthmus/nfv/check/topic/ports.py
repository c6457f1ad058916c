"""Checks of Open vSwitch: its settings, its ports, and who polls them."""

from collections.abc import Iterator, Mapping

from isthmus.facts import cpuset
from isthmus.facts.host.ovs import INTERFACES, PMDS, PORTS, QUEUES_GIVEN, SWITCH, Interface
from isthmus.model.host.host_plan import DpdkPortPlan, HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import (
    APPLY,
    Rule,
    Unseen,
    drift,
    switch_runs,
    where_planned,
    with_switch,
)
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic.causes import find_cause
from isthmus.nfv.render import ovs

VHOST_USER = frozenset({"dpdkvhostuserclient", "dpdkvhostuser"})


def check_switch(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Open vSwitch runs, on the planned settings."""
    assert plan is not None
    if not state.ovs_runs:
        yield _down(state)
    if not state.ovs_says or state.other_config:
        yield from _check_row(plan.other_config, state.other_config, "other_config", state, plan)
        yield from _check_row(plan.external_ids, state.external_ids, "external_ids", state, plan)
        for key in ovs.OWNED_KEYS:
            if plan.other_config and key in state.other_config and key not in plan.other_config:
                yield drift(
                    f"ovs.{key}",
                    f"other_config:{key}",
                    f"other_config:{key} is {state.other_config[key]}, which is in no plan",
                    f"Open_vSwitch other_config:{key}={state.other_config[key]}",
                )


def _down(state: HostState) -> Verdict:
    return Verdict(
        code="ovs.down",
        severity=Severity.BROKEN,
        subject=Subject("Open vSwitch"),
        message="Open vSwitch does not run",
        evidence=state.ovs_says or "ovs-vsctl gave no answer",
        remedy="systemctl restart openvswitch-switch; its log says why it went",
    )


def _check_row(
    planned: Mapping[str, str],
    there: Mapping[str, str],
    column: str,
    state: HostState,
    plan: HostPlan,
) -> Iterator[Verdict]:
    for key, value in planned.items():
        given = there.get(key, "")
        if key.endswith("-mask"):
            if cpuset.find_mask(given) == cpuset.find_mask(value):
                continue
        elif given == value or (key.startswith("dpdk-socket-") and _same_list(given, value)):
            continue
        yield Verdict(
            code=f"ovs.{key}",
            severity=Severity.BROKEN,
            subject=Subject(f"{column}:{key}"),
            message=f"{column}:{key} is {given or 'not set'}, planned is {value}"
            + _say_mask(key, given, plan, state),
            evidence=f"Open_vSwitch {column}:{key}={given}" if given else f"no {column}:{key}",
            remedy=APPLY + ("; it restarts the switch" if key in ovs.START_KEYS else ""),
        )


def _same_list(one: str, two: str) -> bool:
    """Compare values of nodes: what is not listed is zero."""
    return bool(one) and _trimmed(one) == _trimmed(two)


def _trimmed(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    while parts and parts[-1] in {"", "0"}:
        parts.pop()
    return parts


def _say_mask(key: str, given: str, plan: HostPlan, state: HostState) -> str:
    """Explain what a wrong PMD mask means for nodes and instances."""
    if key != "pmd-cpu-mask":
        return ""
    cpus = set(cpuset.find_mask(given))
    said = []
    node_of = state.inventory.cpu_nodes
    home = {node.id for node in plan.nodes if node.pmd_cpus}
    if strange := sorted({node_of[cpu] for cpu in cpus if cpu in node_of} - home):
        said.append(f"it polls on node {', '.join(map(str, strange))}, where no port is")
    if taken := sorted(cpus & set(plan.dedicated_cpus)):
        said.append(f"it takes CPU {cpuset.render_list(taken)} of pinned instances")
    return "".join(f": {one}" if not index else f", and {one}" for index, one in enumerate(said))


def check_dpdk(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Open vSwitch runs with DPDK where it is to."""
    del plan
    if not state.ovs_runs:
        yield _down(state)
    elif not state.dpdk_initialized:
        cause, remedy = find_cause(state.switch_log)
        logged = bool(state.switch_log.strip())
        yield Verdict(
            code="ovs.dpdk",
            severity=Severity.BROKEN,
            subject=Subject("Open vSwitch"),
            message="Open vSwitch runs without DPDK" + (f": {cause}" if logged else ""),
            evidence="Open_vSwitch dpdk_initialized: false" + (f"; log: {cause}" if logged else ""),
            remedy=remedy
            if logged
            else "look for EAL in ovs-vswitchd.log; restart it once huge pages are there",
        )


def check_errors(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """No port has an error; the log says what it comes from."""
    address = {port.name: port.pci_address for port in (plan.dpdk_ports if plan else ())}
    for one in state.interfaces:
        # Ports of instances that are gone stay for a while where Neutron's agent takes them away.
        if not one.error or (
            one.type in {"", "system", "internal"} and "No such device" in one.error
        ):
            continue
        known = address.get(one.name) or one.options.get("dpdk-devargs", "")
        cause, remedy = find_cause(state.switch_log, (one.name, known), error=one.error)
        yield Verdict(
            code="port.error",
            severity=Severity.BROKEN,
            subject=Subject(one.name),
            message=f"{one.name} does not work: {one.error}",
            evidence=cause,
            remedy=remedy,
        )


def check_ports(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every planned port of DPDK is there, on its bridge, and has its queues where planned."""
    assert plan is not None
    there = {one.name: one for one in state.interfaces}
    for port in plan.dpdk_ports:
        one = there.get(port.name)
        if one is None:
            yield drift(
                "port.missing",
                port.name,
                f"{port.name} is not on {port.bridge}",
                "no such Interface",
            )
            continue
        yield from _check_bridge(state, port.name, port.bridge)
        yield from _check_port(port, one)


def _check_bridge(state: HostState, interface: str, bridge: str) -> Iterator[Verdict]:
    on = [one.bridge for one in state.ports if interface in one.interfaces]
    if on and on != [bridge]:
        yield drift(
            "port.bridge",
            interface,
            f"{interface} is on {on[0] or 'no bridge'}, planned is {bridge}",
            f"ovs-vsctl iface-to-br {interface}: {on[0]}",
        )


def _check_port(port: DpdkPortPlan, one: Interface) -> Iterator[Verdict]:
    wanted = {
        "type": ("dpdk", one.type),
        "devargs": (port.devargs, one.options.get("dpdk-devargs", "")),
        "queues": (str(port.rx_queues), one.options.get("n_rxq", "1")),
        "affinity": (ovs.render_affinity(port), one.other_config.get("pmd-rxq-affinity", "")),
    }
    if port.rx_descriptors:
        wanted["descriptors"] = (
            str(port.rx_descriptors),
            one.options.get("n_rxq_desc", "2048"),
        )
    if one.mtu is not None:
        wanted["mtu"] = (str(port.mtu), str(one.mtu))
    for what, (planned, given) in wanted.items():
        if planned != given:
            yield drift(
                f"port.{what}",
                port.name,
                f"{port.name} has {what} {given or 'none'}, planned is {planned}",
                f"Interface {port.name}: {what} {given or 'not set'}",
            )


def check_kernel_ports(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each port that the kernel keeps is on its bridge, and has its MTU and its node."""
    assert plan is not None
    there = {one.name: one for one in state.interfaces}
    by_name = {nic.name: nic for nic in state.inventory.nics}
    for port in plan.kernel_ports:
        one, nic = there.get(port.nic), by_name.get(port.nic)
        if one is None:
            yield drift(
                "port.missing",
                port.nic,
                f"{port.nic} is not on {port.bridge}",
                "no such Interface",
            )
        else:
            yield from _check_bridge(state, port.nic, port.bridge)
        mtu = one.mtu if one is not None and one.mtu is not None else nic.mtu if nic else None
        if mtu is not None and mtu != port.mtu:
            yield drift(
                "port.mtu",
                port.nic,
                f"{port.nic} has mtu {mtu}, planned is {port.mtu}",
                f"/sys/class/net/{port.nic}/mtu: {mtu}",
            )
        if nic is None:
            yield drift(
                "nic.missing",
                port.nic,
                f"there is no interface {port.nic}",
                f"no /sys/class/net/{port.nic}",
            )
        elif nic.node is not None and nic.node != port.node:
            yield drift(
                "nic.node",
                port.nic,
                f"{port.nic} sits on node {nic.node}, planned was {port.node}",
                f"/sys/bus/pci/devices/{nic.pci_address}/numa_node: {nic.node}",
            )
        if nic is not None and state.links_up.get(nic.name) == "down":
            yield drift(
                "nic.down",
                port.nic,
                f"{port.nic} is down: nothing passes {port.bridge} by it",
                f"/sys/class/net/{nic.name}/operstate: down",
                f"ip link set {port.nic} up; look at its cable",
            )


def node_of(state: HostState, one: Interface) -> int | None:
    """Return the node that an interface's buffers are on; OVS calls it `numa` for vhost-user."""
    known = {nic.pci_address: nic.node for nic in state.inventory.nics}
    node = known.get(one.options.get("dpdk-devargs", ""))
    said = one.status.get("numa_id") or one.status.get("numa", "")
    return int(said) if node is None and said.isdigit() else node


def check_locality(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every polled port is polled on its own node."""
    said = {port.name for port in (plan.dpdk_ports if plan else ()) if not port.is_local}
    # Nodes to which the plan itself lets traffic cross.
    crossed = {one.to_node for one in plan.crossings} if plan else set()
    for one in state.interfaces:
        node = node_of(state, one)
        mine = [queue for queue in state.queues if queue.port == one.name]
        far = sorted({queue.cpu for queue in mine if node is not None and queue.numa != node})
        if not far or one.name in said or (one.type in VHOST_USER and node in crossed):
            continue
        guest = one.type in VHOST_USER
        yield Verdict(
            code="pmd.remote",
            severity=Severity.DEGRADED,
            subject=Subject(one.name),
            message=f"{one.name} sits on node {node} but CPU {cpuset.render_list(far)} of "
            "another node polls it",
            evidence=f"pmd-rxq-show: {one.name} on core {cpuset.render_list(far)}",
            remedy="its instance runs on a node without PMDs: keep it on the node of its network "
            "([neutron_physnet_*] numa_nodes), or have PMDs on every node"
            if guest
            else "set pmd-cpu-mask and pmd-rxq-affinity to CPUs of the port's node",
        )


def count_queues(one: Interface, given: Mapping[str, int]) -> tuple[int, bool]:
    """Count the receive queues of a port of DPDK's, and tell whether it has that many for sure.

    A device may give fewer than it is asked for, and then nobody polls the others.

    Args:
        one: the port.
        given: queues of each port, as `dpif/show` has them.

    Source:
        Open vSwitch, lib/netdev-dpdk.c: `netdev_dpdk_get_status` has `n_rxq` from 3.3 on,
        `netdev_dpdk_get_config` `configured_rx_queues` before.
    """
    if one.type != "dpdk":
        return 0, True
    said = one.status.get("n_rxq", "")
    if said.isdigit() or one.name in given:
        return (int(said) if said.isdigit() else given[one.name]), True
    asked, most = one.options.get("n_rxq", "1"), one.status.get("max_rx_queues", "")
    counts = [int(count) for count in (asked, most) if count.isdigit()]
    return min(counts, default=1), False


def check_unpolled(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Something polls every queue: of DPDK's ports, and of vhost-user ports that are connected."""
    del plan
    given: Mapping[str, int] = state.facts.get(QUEUES_GIVEN.name, {})
    for one in state.interfaces:
        connected = one.type in VHOST_USER and one.status.get("status") == "connected"
        if one.error or not (one.type == "dpdk" or connected):
            continue
        mine = [queue for queue in state.queues if queue.port == one.name]
        some = [queue for queue in mine if queue.enabled or not connected]
        count, sure = count_queues(one, given)
        polled = {queue.queue for queue in mine}
        left = sorted(set(range(count)) - polled)
        if not some or left:
            # Below one that is polled there is a queue for sure.
            sure = sure or not some or left[0] < max(polled)
            which = f"queue {cpuset.render_list(left)} of {one.name}" if some else one.name
            yield Verdict(
                code="rxq.unpolled",
                severity=Severity.BROKEN if sure else Severity.UNKNOWN,
                subject=Subject(one.name),
                message=f"nobody polls {which}"
                + ("" if sure else ", or its device gave fewer queues than it was asked for"),
                evidence="pmd-rxq-show has no "
                + (which if some else f"{'enabled ' if mine else ''}queue of {one.name}")
                + ("" if sure else f"; options:n_rxq={one.options.get('n_rxq', '1')}"),
                remedy="set pmd-cpu-mask to CPUs of its node, and pmd-rxq-isolate=false with "
                "pmd-rxq-assign=group",
            )


def runs_or_unplanned(state: HostState, plan: HostPlan | None) -> str | Unseen:
    """Apply a rule where Open vSwitch runs, or where no plan says already that it does not."""
    return switch_runs(state, plan) if plan is not None else ""


def _settings(plan: HostPlan) -> object:
    return plan.other_config or plan.external_ids


_NO_DPDK = "no DPDK port is planned"
PRACTICE = (
    Rule(check_dpdk, (SWITCH,), with_switch, runs_or_unplanned),
    Rule(check_errors, (INTERFACES,)),
    Rule(check_locality, (INTERFACES, PMDS), with_switch),
    Rule(check_unpolled, (INTERFACES, PMDS), with_switch, switch_runs),
)
PLANNED = (
    Rule(
        check_switch,
        (SWITCH,),
        where_planned(_settings, "no setting of Open vSwitch's is planned"),
    ),
    Rule(
        check_ports,
        (INTERFACES,),
        where_planned(lambda plan: plan.dpdk_ports, _NO_DPDK),
        switch_runs,
        helped_by=(PORTS,),
    ),
    Rule(
        check_kernel_ports,
        (INTERFACES,),
        where_planned(lambda plan: plan.kernel_ports, "no port of the kernel's is planned"),
        helped_by=(PORTS,),
    ),
)
