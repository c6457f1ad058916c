"""How a host is set up and what it does right now, read from its facts.

Only what checks need. What the facts do not hold is empty here, and its name is not in `seen`: a
check that needs it then answers *not seen*, which is not *fine*.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from isthmus.model.host import host_inventory
from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv import cpuset
from isthmus.nfv.check.state import guests, switch
from isthmus.nfv.check.state.guests import Domain, parse_domain
from isthmus.nfv.check.state.ini import parse_ini
from isthmus.nfv.check.state.switch import Bond, Interface, Port, Queue
from isthmus.nfv.inspect import facts, sysfs

__all__ = [
    "Bond",
    "Domain",
    "Function",
    "HostState",
    "Interface",
    "Port",
    "Queue",
    "Service",
    "Thread",
    "parse_domain",
    "parse_ini",
    "parse_nova_cpus",
    "parse_state",
]

#: What may be seen of a host; `HostState.seen` has those that were.
SOURCES = (
    *("switch", "interfaces", "ports", "pmds", "log", "bonds", "nova", "neutron"),
    *("threads", "services", "functions", "digests", "mounts", "sockets", "containers"),
)


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of the host."""

    pid: int
    tid: int
    is_kernel: bool
    allowed: tuple[int, ...]
    process: str
    name: str


@dataclass(frozen=True, slots=True)
class Service:
    """One unit of systemd's, or one container."""

    name: str
    is_there: bool
    runs: bool
    says: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """One virtual function, as its physical one has it; None where the driver does not say."""

    nic: str
    number: int
    spoof_check: bool | None
    trusted: bool | None


@dataclass(frozen=True, slots=True)
class HostState:
    """Everything that checks look at."""

    inventory: host_inventory.HostInventory
    files: Mapping[str, str]
    isolated: tuple[int, ...]
    nohz_full: tuple[int, ...]
    online: tuple[int, ...]
    ovs_runs: bool
    ovs_says: str  #: what went wrong where it does not
    dpdk_initialized: bool
    other_config: Mapping[str, str]
    external_ids: Mapping[str, str]
    interfaces: tuple[Interface, ...]
    pmds: Mapping[int, int]  #: CPU of each PMD thread -> NUMA node
    queues: tuple[Queue, ...]
    nova: Mapping[str, tuple[str, ...]]
    tuned_profile: str
    threads: tuple[Thread, ...]
    shut_pmds: tuple[int, ...]  #: PMD CPUs that take no further queue
    switch_log: str  #: its last errors and warnings
    irqs: Mapping[str, tuple[int, ...]]  #: IRQ -> CPUs that really get it
    interrupts: Mapping[str, tuple[int, ...]]  #: IRQ -> how often, by CPU
    domains: tuple[Domain, ...]
    seen: frozenset[str] = frozenset()
    layout: Layout = Layout.PLAIN
    neutron: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    datapaths: Mapping[str, str] = field(default_factory=dict)  #: bridge -> system or netdev
    bonds: Mapping[str, Bond] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    functions: tuple[Function, ...] = ()
    eswitch: Mapping[str, tuple[str, str]] = field(default_factory=dict)  #: NIC -> mode, tc offload
    digests: Mapping[str, str] = field(default_factory=dict)  #: path -> SHA-256
    mounts: tuple[tuple[str, str], ...] = ()  #: hugetlbfs: where, options
    sockets: str = ""  #: mode, user and group of the folder of vhost-user sockets
    links_up: Mapping[str, str] = field(default_factory=dict)  #: interface -> operstate
    rest: Mapping[str, str] = field(default_factory=dict)  #: further short files, by path

    @property
    def kernel_args(self) -> tuple[str, ...]:
        """Words of the running kernel's line."""
        return tuple(self.inventory.kernel_line.split())


def parse_state(seen: facts.HostFacts) -> HostState:
    """Read the state from facts that were gathered with settings.

    Raises:
        ProtocolError: the facts are garbled or were gathered without settings.
        Invalid: they cannot be.
    """
    row = switch.parse_rows(seen.commands.get("ovs-vsctl", ""))
    own = row[0] if row else {}
    shown = seen.commands.get("pmd-rxq-show", "")
    pmds, queues = switch.parse_rxqs(shown)
    interfaces = switch.parse_interfaces(seen.commands.get("ovs-interfaces", ""))
    bridges = seen.commands.get("ovs-bridges", "")
    layout = _layout(seen)
    nova, neutron = read_options(seen, layout)
    functions, eswitch = parse_functions(seen.commands.get("functions", ""))
    return HostState(
        inventory=sysfs.parse_host(seen),
        files=seen.files,
        isolated=cpuset.parse_list(seen.text("/sys/devices/system/cpu/isolated")),
        nohz_full=_nohz(seen.text("/sys/devices/system/cpu/nohz_full")),
        online=cpuset.parse_list(seen.text("/sys/devices/system/cpu/online")),
        ovs_runs=bool(row) and "vswitchd-version" in seen.commands,
        ovs_says=_last_line(
            seen.failures.get("ovs-vsctl", "") or seen.failures.get("vswitchd-version", "")
        ),
        dpdk_initialized=bool(own.get("dpdk_initialized")),
        other_config=switch.strings(own.get("other_config")),
        external_ids=switch.strings(own.get("external_ids")),
        interfaces=interfaces,
        pmds=pmds,
        queues=queues,
        nova=nova,
        tuned_profile=seen.text("/etc/tuned/active_profile"),
        threads=parse_threads(seen.commands.get("threads", "")),
        shut_pmds=switch.parse_shut(shown),
        switch_log=seen.commands.get("ovs-log", ""),
        interrupts=parse_interrupts(seen.files.get("/proc/interrupts", "")),
        irqs={
            irq: cpuset.parse_list(text)
            for irq, text in seen.matching("/proc/irq/", "/effective_affinity_list")
        },
        domains=tuple(
            domain
            for _, text in seen.matching("/run/libvirt/qemu/", ".xml")
            if (domain := guests.parse_domain(text)) is not None
        ),
        seen=list_seen(seen, has_nova=bool(nova), has_neutron=bool(neutron)),
        layout=layout,
        neutron=neutron,
        ports=switch.parse_ports(seen.commands.get("ovs-ports", ""), bridges, interfaces),
        datapaths=switch.parse_datapaths(bridges),
        bonds=switch.parse_bonds(seen.commands.get("bonds", "")),
        services=(
            *parse_units(seen.commands.get("services", "")),
            *parse_containers(seen.commands.get("containers", "")),
        ),
        functions=functions,
        eswitch=eswitch,
        digests={
            path: digest
            for digest, _, path in (
                line.partition("  ") for line in seen.commands.get("digests", "").splitlines()
            )
            if path
        },
        mounts=tuple(
            (words[1], words[3])
            for words in map(str.split, seen.commands.get("hugetlbfs", "").splitlines())
            if len(words) > 3
        ),
        sockets=seen.commands.get("vhost-sockets", "").strip(),
        links_up={
            name: text.strip() for name, text in seen.matching("/sys/class/net/", "/operstate")
        },
        rest={
            path: seen.text(path)
            for path in ("/proc/irq/default_smp_affinity", "/sys/devices/system/cpu/smt/active")
            if path in seen.files
        },
    )


#: Which command shows which source; Open vSwitch's own commands also where they failed, since then
#: it is known that nobody answers.
_SHOWN_BY = {
    "interfaces": "ovs-interfaces",
    "ports": "ovs-ports",
    "pmds": "pmd-rxq-show",
    "log": "ovs-log",
    "bonds": "bonds",
    "threads": "threads",
    "services": "services",
    "functions": "functions",
    "digests": "digests",
    "mounts": "hugetlbfs",
    "sockets": "vhost-sockets",
    "containers": "containers",
}


def list_seen(seen: facts.HostFacts, *, has_nova: bool, has_neutron: bool) -> frozenset[str]:
    """Name the sources that the facts hold."""
    found = {name for name, key in _SHOWN_BY.items() if key in seen.commands}
    said = seen.failures.get("ovs-vsctl", "")
    absent = "not found" in said or ("No such file" in said and "db.sock" not in said)
    if "ovs-vsctl" in seen.commands or (said and not absent):
        found.add("switch")
    if "vhost-sockets" in seen.failures:
        found.add("sockets")
    if has_nova:
        found.add("nova")
    if has_neutron:
        found.add("neutron")
    return frozenset(found)


def _layout(seen: facts.HostFacts) -> Layout:
    said = seen.commands.get("layout", "").strip()
    return Layout(said) if said in set(Layout) else Layout.PLAIN


#: Where each layout keeps Nova's and Neutron's options, in the order in which they are read.
OPTION_FILES: Mapping[Layout, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Layout.PLAIN: (
        ("/etc/nova/nova.conf", "/etc/nova/nova-compute.conf", "/etc/nova/nova.conf.d/"),
        ("/etc/neutron/",),
    ),
    Layout.KOLLA: (
        ("/etc/kolla/nova-compute/nova.conf",),
        ("/etc/kolla/neutron-",),
    ),
    Layout.TRIPLEO: (
        ("/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf",),
        ("/var/lib/config-data/puppet-generated/neutron/",),
    ),
    Layout.RHOSO: (
        ("/var/lib/openstack/config/nova/",),
        ("/var/lib/openstack/config/neutron-",),
    ),
}


def read_options(
    seen: facts.HostFacts, layout: Layout
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Read the effective options of Nova and of Neutron's agents."""
    nova, neutron = OPTION_FILES[layout]
    return parse_ini(_joined(seen, nova)), parse_ini(_joined(seen, neutron))


def _joined(seen: facts.HostFacts, prefixes: Sequence[str]) -> str:
    """Join configuration files in the order in which oslo.config reads them."""
    paths = [path for prefix in prefixes for path in sorted(seen.files) if path.startswith(prefix)]
    # Each file begins anew, in DEFAULT and with no line to go on.
    return "\n\n[DEFAULT]\n".join(seen.files[path] for path in dict.fromkeys(paths))


def _nohz(text: str) -> tuple[int, ...]:
    return () if "null" in text else cpuset.parse_list(text)


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""


def parse_interrupts(text: str) -> dict[str, tuple[int, ...]]:
    """Read /proc/interrupts: numbered IRQ -> deliveries, in order of the CPUs that run."""
    found: dict[str, tuple[int, ...]] = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        if name.strip().isdigit():
            counts = itertools.takewhile(str.isdigit, rest.split())
            found[name.strip()] = tuple(map(int, counts))
    return found


def parse_threads(text: str) -> tuple[Thread, ...]:
    """Read the table of threads that the facts script wrote; a garbled line is left out."""
    found: list[Thread] = []
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) == 6 and parts[0].isdigit() and parts[1].isdigit():
            found.append(
                Thread(
                    pid=int(parts[0]),
                    tid=int(parts[1]),
                    is_kernel=parts[2] == "1",
                    allowed=cpuset.parse_list(parts[3]),
                    process=parts[4],
                    name=parts[5],
                )
            )
    return tuple(found)


def parse_units(text: str) -> tuple[Service, ...]:
    """Read `systemctl show -p Id,LoadState,ActiveState,UnitFileState`."""
    found: list[Service] = []
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.strip().splitlines())
        if values.get("Id"):
            state = values.get("ActiveState", "")
            found.append(
                Service(
                    name=values["Id"].removesuffix(".service"),
                    is_there=values.get("LoadState") == "loaded"
                    and values.get("UnitFileState") not in {"disabled", "masked"},
                    runs=state in {"active", "reloading"},
                    says=f"systemctl show {values['Id']}: ActiveState={state}",
                )
            )
    return tuple(found)


def parse_containers(text: str) -> tuple[Service, ...]:
    """Read the names and states that podman or docker lists."""
    found: list[Service] = []
    for line in text.splitlines():
        name, _, state = line.strip().partition(" ")
        if name:
            runs = state.lower().startswith(("running", "up"))
            said = f"container {name}: {state or 'no state'}"
            found.append(Service(name=name, is_there=True, runs=runs, says=said))
    return tuple(found)


def parse_functions(text: str) -> tuple[tuple[Function, ...], dict[str, tuple[str, str]]]:
    """Read what the facts script wrote of virtual functions, and of the switch in each port."""
    said = {"on": True, "off": False}
    functions: list[Function] = []
    eswitch: dict[str, tuple[str, str]] = {}
    for words in map(str.split, text.splitlines()):
        if words[:1] == ["vf"] and len(words) == 5 and words[2].isdigit():
            spoof, trust = said.get(words[3]), said.get(words[4])
            functions.append(Function(words[1], int(words[2]), spoof, trust))
        elif words[:1] == ["switch"] and len(words) == 4:
            eswitch[words[1]] = (words[2], words[3])
    return tuple(functions), eswitch


def parse_nova_cpus(nova: Mapping[str, Sequence[str]], key: str) -> tuple[int, ...]:
    """Read a set of CPUs of Nova's; empty where it is not set, the last one where it is twice.

    Args:
        nova: `section/option` -> values, of a host or of a plan.
        key: such as `cpu_dedicated_set`, which is in `[compute]`, or `DEFAULT/vcpu_pin_set`.
    """
    values = nova.get(key if "/" in key else f"compute/{key}", ())
    return cpuset.parse_list(values[-1].replace("\n", "")) if values else ()
