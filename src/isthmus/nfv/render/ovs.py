"""The Open vSwitch commands of a plan; each may be run again and then changes nothing."""

import shlex
from collections.abc import Iterable

from isthmus.model.host.host_plan import DpdkPortPlan, HostPlan

#: Every other_config key that a plan may set; those it does not set are taken away.
OWNED_KEYS = (
    "dpdk-init",
    "dpdk-lcore-mask",
    "dpdk-socket-mem",
    "dpdk-socket-limit",
    "dpdk-extra",
    "pmd-cpu-mask",
    "pmd-rxq-assign",
    "pmd-rxq-isolate",
    "per-port-memory",
    "pmd-maxsleep",
    "pmd-sleep-max",
    "hw-offload",
    "tc-policy",
)
#: Keys that are read at the start of ovs-vswitchd only (ovs-vswitchd.conf.db(5)).
START_KEYS = frozenset(
    {
        "dpdk-init",
        "dpdk-lcore-mask",
        "dpdk-socket-mem",
        "dpdk-socket-limit",
        "dpdk-extra",
        "per-port-memory",
        "hw-offload",
        "tc-policy",
    }
)

Command = tuple[str, ...]


def render_config(plan: HostPlan) -> tuple[Command, ...]:
    """Write the commands that set Open_vSwitch's own row."""
    row = ("ovs-vsctl", "--no-wait")
    sets = [f"other_config:{key}={quote(value)}" for key, value in plan.other_config.items()]
    sets += [f"external_ids:{key}={quote(value)}" for key, value in plan.external_ids.items()]
    stale = [key for key in OWNED_KEYS if key not in plan.other_config]
    commands: list[Command] = []
    if stale and plan.other_config:
        commands.append((*row, "remove", "Open_vSwitch", ".", "other_config", *stale))
    if sets:
        commands.append((*row, "set", "Open_vSwitch", ".", *sets))
    return tuple(commands)


def render_ports(plan: HostPlan) -> tuple[Command, ...]:
    """Write the commands that make bridges and ports."""
    commands: list[Command] = []
    has_dpdk = bool(plan.dpdk_ports)
    bridges = [port.bridge for port in plan.dpdk_ports] + [one.bridge for one in plan.kernel_ports]
    for bridge in dict.fromkeys(bridges):
        command = ("ovs-vsctl", "--timeout=30", "--may-exist", "add-br", bridge)
        kind = ("--", "set", "Bridge", bridge, "datapath_type=netdev") if has_dpdk else ()
        commands.append((*command, *kind))
    commands += [_bond(bond, plan) for bond in _bonds(plan)]
    for port in plan.dpdk_ports:
        commands.append(_port(port))
    for one in plan.kernel_ports:
        commands.append(
            ("ovs-vsctl", "--timeout=30", "--may-exist", "add-port", one.bridge, one.nic)
        )
        commands.append(
            ("ovs-vsctl", "--timeout=30", "set", "Interface", one.nic, f"mtu_request={one.mtu}")
        )
    return tuple(commands)


def _bonds(plan: HostPlan) -> Iterable[str]:
    return dict.fromkeys(port.bond for port in plan.dpdk_ports if port.bond)


def _bond(bond: str, plan: HostPlan) -> Command:
    mine = [port for port in plan.dpdk_ports if port.bond == bond]
    command = ["ovs-vsctl", "--timeout=30", "--may-exist", "add-bond", mine[0].bridge, bond]
    command += [port.name for port in mine]
    command += ["--", "set", "Port", bond]
    command += [f"bond_mode={mine[0].bond_mode or 'active-backup'}"]
    command += [f"lacp={mine[0].lacp or 'off'}"]
    for port in mine:
        command += ["--", "set", "Interface", port.name, *_options(port)]
    return tuple(command)


def _port(port: DpdkPortPlan) -> Command:
    command = ["ovs-vsctl", "--timeout=30"]
    if not port.bond:
        command += ["--may-exist", "add-port", port.bridge, port.name, "--"]
    return (*command, "set", "Interface", port.name, *_options(port))


def _options(port: DpdkPortPlan) -> list[str]:
    descriptors = [f"options:n_rxq_desc={port.rx_descriptors}"] if port.rx_descriptors else []
    return [
        "type=dpdk",
        f"options:dpdk-devargs={quote(port.devargs)}",
        f"options:n_rxq={port.rx_queues}",
        *descriptors,
        f"mtu_request={port.mtu}",
        f"other_config:pmd-rxq-affinity={quote(render_affinity(port))}",
    ]


def render_affinity(port: DpdkPortPlan) -> str:
    """Write queue:cpu pairs as Open vSwitch reads them."""
    return ",".join(f"{queue}:{cpu}" for queue, cpu in sorted(port.rxq_affinity.items()))


def quote(value: str) -> str:
    """Quote a value for ovs-vsctl, which splits at commas, colons and equals signs."""
    plain = value.replace("-", "").replace(".", "").replace("_", "").isalnum()
    return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render_shell(commands: Iterable[Command]) -> str:
    """Write commands for a person's shell."""
    return "".join(shlex.join(command) + "\n" for command in commands)
