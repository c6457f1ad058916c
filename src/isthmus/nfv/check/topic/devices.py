"""Checks of devices: drivers, nodes, virtual functions and how they are guarded, the IOMMU."""

from collections.abc import Iterator

from isthmus.facts import cpuset
from isthmus.facts.host import devlink
from isthmus.model.host.host_inventory import Nic
from isthmus.model.host.host_plan import HostPlan, SriovPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import Rule, drift, where_planned
from isthmus.nfv.check.state import HostState

#: What a port is bound to where the kernel's own driver does not have it.
NO_FUNCTIONS = frozenset({"", "vfio-pci", "pci-stub", "uio_pci_generic", "igb_uio"})
RESTART = "systemctl restart isthmus-nfv-devices"


def _by_address(state: HostState) -> dict[str, Nic]:
    return {nic.pci_address: nic for nic in state.inventory.nics if nic.pci_address}


def _gone(name: str, address: str) -> Verdict:
    return drift(
        "nic.missing",
        name,
        f"the port at {address} is gone",
        f"no /sys/bus/pci/devices/{address}",
        "look at the card and its slot, or plan anew",
    )


def _moved(name: str, nic: Nic, node: int) -> Verdict:
    if nic.node is None:
        return drift(
            "nic.node",
            name,
            f"firmware does not say any more on which node {name} sits, planned was {node}: Nova "
            "gives its virtual functions to no instance that requires their node",
            f"/sys/bus/pci/devices/{nic.pci_address}/numa_node: -1",
            "look into the firmware's settings (NUMA, node interleaving), or plan anew",
        )
    return drift(
        "nic.node",
        name,
        f"{name} sits on node {nic.node}, planned was {node}",
        f"/sys/bus/pci/devices/{nic.pci_address}/numa_node: {nic.node}",
        "put the card back, or take the inventory and plan anew",
    )


def _was_assumed(state: HostState, plan: HostPlan, name: str) -> bool:
    """Tell whether the plan itself did not know where a polled port sits."""
    alone = len(state.inventory.nodes) == 1
    return alone or any(
        note.code == "node-unknown" and note.subject in {"", name} for note in plan.notes
    )


def check_dpdk_devices(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each polled port is there, on its node, with its driver."""
    assert plan is not None
    there = _by_address(state)
    for port in plan.dpdk_ports:
        nic = there.get(port.pci_address)
        if nic is None:
            if port.pci_address:
                yield _gone(port.nic, port.pci_address)
            continue
        if port.driver and nic.driver != port.driver:
            yield drift(
                "nic.driver",
                port.nic,
                f"{port.pci_address} is bound to {nic.driver or 'no driver'}, planned is "
                f"{port.driver}",
                f"/sys/bus/pci/devices/{port.pci_address}/driver: {nic.driver or 'none'}",
                f"{RESTART}, then restart Open vSwitch",
            )
        if not port.driver and nic.driver == "vfio-pci":
            yield drift(
                "nic.driver",
                port.nic,
                f"{port.pci_address} is bound to vfio-pci, but its DPDK driver works beside the "
                "kernel's",
                f"/sys/bus/pci/devices/{port.pci_address}/driver: {nic.driver}",
                "unbind it and let the kernel's driver take it",
            )
        if nic.node != port.node and not (nic.node is None and _was_assumed(state, plan, port.nic)):
            yield _moved(port.nic, nic, port.node)


def check_sriov(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each physical function is there, on its node, up, and has its MTU and its functions."""
    assert plan is not None
    there = _by_address(state)
    for one in plan.sriov:
        nic = there.get(one.pci_address)
        if nic is None:
            yield _gone(one.nic, one.pci_address)
            continue
        if nic.name not in {one.nic, one.pci_address}:
            yield drift(
                "nic.name",
                one.nic,
                f"the port at {one.pci_address} is called {nic.name}, planned was {one.nic}: "
                "Neutron's agent and isthmus-nfv-devices look for that name",
                f"/sys/bus/pci/devices/{one.pci_address}/net: {nic.name}",
                "give it its name back (a .link file of systemd's), or take the inventory and plan "
                "anew",
            )
        if nic.vfs != one.vfs:
            yield drift(
                "nic.vfs",
                one.nic,
                f"{one.nic} has {nic.vfs} virtual functions, planned are {one.vfs}",
                f"/sys/bus/pci/devices/{one.pci_address}/sriov_numvfs: {nic.vfs}",
                f"{RESTART} while no instance uses one",
            )
        if one.node is not None and nic.node != one.node:
            yield _moved(one.nic, nic, one.node)
        if nic.driver in NO_FUNCTIONS:
            yield drift(
                "nic.driver",
                one.nic,
                f"{one.pci_address} is bound to {nic.driver or 'no driver'}, and only the kernel's "
                "own makes virtual functions that Neutron's agent sees",
                f"/sys/bus/pci/devices/{one.pci_address}/driver: {nic.driver or 'none'}",
                "unbind it and let the kernel's driver take it",
            )
        if nic.mtu is not None and nic.mtu != one.mtu:
            yield drift(
                "nic.mtu",
                one.nic,
                f"{one.nic} has MTU {nic.mtu}, planned is {one.mtu}",
                f"/sys/class/net/{one.nic}/mtu: {nic.mtu}",
                RESTART,
            )
        if state.links_up.get(nic.name) == "down":
            yield drift(
                "nic.down",
                one.nic,
                f"{one.nic} is down: no virtual function of it carries packets",
                f"/sys/class/net/{nic.name}/operstate: down",
                f"ip link set {one.nic} up; look at its cable",
            )
        yield from _check_product(one, nic)


def _check_product(one: SriovPlan, nic: Nic) -> Iterator[Verdict]:
    for what, planned, given in (
        ("vendor", one.vendor_id, nic.vendor_id),
        ("virtual functions' product", one.vf_product_id, nic.vf_product_id),
    ):
        if planned and given and planned != given:
            yield drift(
                "nic.product",
                one.nic,
                f"the {what} of {one.nic} is {given}, and Nova's alias names {planned}",
                f"/sys/bus/pci/devices/{one.pci_address}: {given}",
                "take the inventory and plan anew: it is another card",
            )


def check_functions(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Functions are trusted and guarded as planned, and the port's switch is in its mode."""
    assert plan is not None
    name_of = {nic.pci_address: nic.name for nic in state.inventory.nics}
    for one in plan.sriov:
        name = name_of.get(one.pci_address, one.nic)
        mine = [function for function in state.functions if function.nic == name]
        told = {
            each.number
            for each in mine
            if not (one.trusted and each.trusted is None)
            and not (not one.spoof_check and each.spoof_check is None)
        }
        made = next((nic.vfs for nic in state.inventory.nics if nic.name == name), 0)
        # Where there are none, or fewer, that is said elsewhere.
        if not one.switchdev and (silent := sorted(set(range(min(one.vfs, made))) - told)):
            yield _say_silent(one, silent)
        for what, planned in (("trusted", one.trusted), ("spoof_check", one.spoof_check)):
            wrong = [
                function.number
                for function in mine
                if getattr(function, what) is not None and getattr(function, what) != planned
            ]
            if wrong:
                yield _say_guard(one, what, wrong, planned=planned)
        mode, offload = state.eswitch.get(name, ("?", "?"))
        wanted = "switchdev" if one.switchdev else "legacy"
        if mode not in {"?", wanted}:
            yield drift(
                "nic.eswitch",
                one.nic,
                f"the switch in {one.nic} is in mode {mode}, planned is {wanted}",
                f"devlink dev eswitch show pci/{one.pci_address}: mode {mode}",
                f"{RESTART} while no instance uses one",
            )
        if one.switchdev and offload == "off":
            yield drift(
                "nic.offload",
                one.nic,
                f"{one.nic} does not take flows: hw-tc-offload is off",
                f"ethtool -k {one.nic}: hw-tc-offload: off",
                f"ethtool -K {one.nic} hw-tc-offload on",
            )


def _say_silent(one: SriovPlan, silent: list[int]) -> Verdict:
    return Verdict(
        code="nic.trust",
        severity=Severity.UNKNOWN,
        subject=Subject(one.nic),
        message=f"whether virtual function {cpuset.render_list(silent)} of {one.nic} is trusted "
        "and checked for spoofing was not told",
        evidence=f"ip link show {one.nic}: not all of vf {silent[0]}",
        remedy="look with ip -d link show; a driver that does not tell may still take what "
        "ip link set vf N trust on|off says",
    )


def _say_guard(one: SriovPlan, what: str, wrong: list[int], *, planned: bool) -> Verdict:
    trust = what == "trusted"
    word = "trusted" if trust else "checked for spoofing"
    numbers = ", ".join(map(str, wrong[:8])) + (" and more" if wrong[8:] else "")
    return drift(
        "nic.trust" if trust else "nic.spoof_check",
        one.nic,
        f"virtual function {numbers} of {one.nic} is {'not ' if planned else ''}{word}, planned is "
        f"that it is{'' if planned else ' not'}",
        f"ip link show {one.nic}: vf {wrong[0]} {'trust' if trust else 'spoof checking'} "
        f"{'off' if planned else 'on'}",
        f"{RESTART}; a port without port security has its spoof check off",
        Severity.BROKEN if trust and planned else Severity.DEGRADED,
    )


def check_links(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each port whose virtual functions are handed out is up."""
    del plan
    for nic in state.inventory.nics:
        if nic.vfs and state.links_up.get(nic.name) == "down":
            yield drift(
                "nic.down",
                nic.name,
                f"{nic.name} is down: none of its {nic.vfs} virtual functions carries packets",
                f"/sys/class/net/{nic.name}/operstate: down",
                f"ip link set {nic.name} up; look at its cable",
                Severity.DEGRADED,
            )


def has_functions(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where virtual functions are there, and no plan says which are wanted."""
    if plan is not None:
        return "the ports of the plan are held against it"
    return "" if any(nic.vfs for nic in state.inventory.nics) else "no port has virtual functions"


def check_iommu(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """An IOMMU is active where devices are handed out."""
    handed = [nic.name for nic in state.inventory.nics if nic.driver == "vfio-pci"]
    needs = bool(plan and (plan.sriov or any(port.driver for port in plan.dpdk_ports)))
    if (handed or needs) and not state.inventory.iommu:
        yield drift(
            "iommu.off",
            "IOMMU",
            "devices are to be handed out, but no IOMMU is active",
            "/sys/class/iommu is empty",
            "switch VT-d or AMD-Vi on in firmware, and intel_iommu=on on the kernel line",
        )


def devices_handed_out(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where devices are handed out, or are to be."""
    handed = any(nic.driver == "vfio-pci" for nic in state.inventory.nics)
    needs = bool(plan and (plan.sriov or any(port.driver for port in plan.dpdk_ports)))
    return "" if handed or needs else "no device is handed out to the switch or to instances"


def _sriov(plan: HostPlan) -> object:
    return plan.sriov


_NO_SRIOV = "no port with virtual functions is planned"
PRACTICE = (
    Rule(check_iommu, (), devices_handed_out),
    Rule(check_links, (), has_functions),
)
PLANNED = (
    Rule(
        check_dpdk_devices,
        (),
        where_planned(lambda plan: plan.dpdk_ports, "no DPDK port is planned"),
    ),
    Rule(check_sriov, (), where_planned(_sriov, _NO_SRIOV)),
    Rule(check_functions, (devlink.FUNCTIONS,), where_planned(_sriov, _NO_SRIOV)),
)
