"""How a host is set up and what it does right now: its facts, as the checks of NFV see them.

A fact that is absent is empty here and its name is not in `seen`: a check that needs it answers
*not seen* or *not applicable*, neither of which is *fine*. A fact with no field of its own is read
with `read`, so that a new one needs no line here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from isthmus import errors
from isthmus.facts import registry
from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Absent, Fact, read_all
from isthmus.facts.host import devlink, libvirt, oslo_conf, ovs, procfs
from isthmus.facts.host.services import Service
from isthmus.model.host import host_inventory
from isthmus.model.host.nfv_layout import Layout

Value = TypeVar("Value")
#: Facts that every host has, and without which nothing can be said of it.
NEEDED = ("inventory", "isolated", "nohz_full", "online", "irqs", "links")
#: Facts that checks need and that have fields here.
SOURCES = (
    *("switch", "interfaces", "ports", "pmds", "log", "bonds", "nova", "neutron"),
    *("threads", "services", "functions", "digests", "mounts", "sockets", "containers", "domains"),
    *("boot", "tuned", "interrupts"),
)


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
    interfaces: tuple[ovs.Interface, ...]
    pmds: Mapping[int, int]  #: CPU of each PMD thread -> NUMA node
    queues: tuple[ovs.Queue, ...]
    nova: Mapping[str, tuple[str, ...]]
    tuned_profile: str
    threads: tuple[procfs.Thread, ...]
    shut_pmds: tuple[int, ...]  #: PMD CPUs that take no further queue
    switch_log: str  #: its last errors and warnings
    irqs: Mapping[str, tuple[int, ...]]  #: IRQ -> CPUs that really get it
    interrupts: Mapping[str, tuple[int, ...]]  #: IRQ -> how often, by CPU
    domains: tuple[libvirt.Domain, ...]
    seen: frozenset[str] = frozenset()  #: names of the facts that are there
    layout: Layout = Layout.PLAIN
    neutron: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ports: tuple[ovs.Port, ...] = ()
    datapaths: Mapping[str, str] = field(default_factory=dict)  #: bridge -> system or netdev
    bonds: Mapping[str, ovs.Bond] = field(default_factory=dict)
    services: tuple[Service, ...] = ()
    functions: tuple[devlink.Function, ...] = ()
    eswitch: Mapping[str, tuple[str, str]] = field(default_factory=dict)  #: NIC -> mode, tc offload
    digests: Mapping[str, str] = field(default_factory=dict)  #: path -> SHA-256
    mounts: tuple[tuple[str, str], ...] = ()  #: hugetlbfs: where, options
    sockets: str = ""  #: mode, user and group of the folder of vhost-user sockets
    links_up: Mapping[str, str] = field(default_factory=dict)  #: interface -> operstate
    rest: Mapping[str, str] = field(default_factory=dict)  #: further short files, by path
    facts: Mapping[str, Any] = field(default_factory=dict)  #: the value of every fact, by name
    absent: Mapping[str, Absent] = field(default_factory=dict)  #: why a fact is not there

    @property
    def kernel_args(self) -> tuple[str, ...]:
        """Words of the running kernel's line."""
        return tuple(self.inventory.kernel_line.split())

    def read(self, fact: Fact[Value]) -> Value:
        """Return the value of a fact that is there."""
        value: Value = self.facts[fact.name]
        return value


def parse_state(seen: HostFacts) -> HostState:
    """Read the state from facts that were gathered with settings.

    Raises:
        ProtocolError: the facts are garbled or were gathered without settings.
        Invalid: they cannot be.
    """
    values, absent = read_all(registry.HOST, seen)
    if missing := [absent[name].detail for name in NEEDED if name in absent]:
        raise errors.ProtocolError(f"the host facts cannot be read: {'; '.join(missing)}")
    give: Any = values.get
    switch: ovs.Switch = give("switch", ovs.Switch(False, "", False, {}, {}))
    polling: ovs.Polling = give("pmds", ovs.Polling({}, (), ()))
    bridges: ovs.Bridges = give("ports", ovs.Bridges((), {}))
    functions: devlink.Functions = give("functions", devlink.Functions((), {}))
    silent = absent.get("switch")
    short = {
        "/proc/irq/default_smp_affinity": values["default_irqs"],
        "/sys/devices/system/cpu/smt/active": values["smt"],
    }
    return HostState(
        inventory=give("inventory"),
        files=seen.files,
        isolated=give("isolated"),
        nohz_full=give("nohz_full"),
        online=give("online"),
        ovs_runs=switch.runs,
        ovs_says=switch.says or (silent.detail if silent and "ovs-vsctl" in seen.failures else ""),
        dpdk_initialized=switch.dpdk_initialized,
        other_config=switch.other_config,
        external_ids=switch.external_ids,
        interfaces=give("interfaces", ()),
        pmds=polling.pmds,
        queues=polling.queues,
        nova=give("nova", {}),
        tuned_profile=give("tuned"),
        threads=give("threads", ()),
        shut_pmds=polling.shut,
        switch_log=give("log", ""),
        irqs=give("irqs"),
        interrupts=give("interrupts", {}),
        domains=give("domains", ()),
        seen=frozenset(values),
        layout=oslo_conf.find_layout(seen),
        neutron=give("neutron", {}),
        ports=bridges.ports,
        datapaths=bridges.datapaths,
        bonds=give("bonds", {}),
        services=(*give("services", ()), *give("containers", ())),
        functions=functions.each,
        eswitch=functions.eswitch,
        digests=give("digests", {}),
        mounts=give("mounts", ()),
        sockets=give("sockets", ""),
        links_up=give("links"),
        rest={path: str(text) for path, text in short.items() if path in seen.files},
        facts=values,
        absent=absent,
    )
