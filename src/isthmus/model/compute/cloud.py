"""What Nova and Placement know of hosts: cells, compute nodes, providers and what these offer."""

from dataclasses import dataclass, field

from isthmus.model.compute.device import NO_RULES, DeviceRules

#: Nova's cell of servers that no host took; it has no hosts.
CELL0_UUID = "00000000-0000-0000-0000-000000000000"
#: Nova's zone of a host that is in none ([DEFAULT] default_availability_zone).
DEFAULT_ZONE = "nova"
#: A count that nothing bounds: more than fit into any cloud, and many of them still add up.
UNBOUNDED = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell mapping, and whether its database answered."""

    name: str
    uuid: str
    disabled: bool = False  #: the scheduler leaves it out
    error: str = ""  #: why its database did not answer; empty where it did
    version: int = 0  #: the lowest of its nova-compute services; 0 where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAddress:
    """A cell mapping with where its database is."""

    id: int
    cell: Cell
    database: str = field(repr=False)  #: with a password
    queue: str = field(default="", repr=False)  #: the same, as it stands in the mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAggregate:
    """One host aggregate of Nova."""

    name: str
    hosts: frozenset[str]
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One resource provider of Placement; a compute node is the root of a tree of them."""

    id: int
    uuid: str
    name: str
    root: int  #: id of the root of its tree
    traits: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceInventory:
    """How much of one resource class a provider offers, and how one consumer may take of it."""

    provider: int
    resource_class: str
    capacity: int  #: total less reserved, times the allocation ratio, as Placement rounds it
    used: int
    min_unit: int = 1
    max_unit: int = 2**31 - 1
    step_size: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeHost:
    """One compute node, with what its cell says of it."""

    name: str  #: of the service, as in host mappings
    node: str  #: of the hypervisor
    uuid: str  #: of the compute node, and of its root provider
    cell: str
    zone: str = DEFAULT_ZONE
    aggregates: tuple[str, ...] = ()  #: by name
    closed: str = ""  #: why the scheduler chooses it for nothing; empty where it does
    numa: str = ""  #: Nova's NUMATopology as JSON; empty where its driver has none
    pci: str = ""  #: Nova's PciDevicePoolList as JSON
    cpu_ratio: float = 1.0
    ram_ratio: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """One flavor of Nova."""

    name: str
    flavorid: str
    vcpus: int
    ram_mib: int
    disk_gib: int = 0
    ephemeral_gib: int = 0
    swap_mib: int = 0
    id: int = 0  #: the internal one, by which servers name it
    extra_specs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHosts:
    """What the database of one cell says of its hosts."""

    hosts: tuple["ComputeHost", ...]
    version: int  #: the lowest of its nova-compute services; 0 where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiState:
    """What Nova's API database says of the whole cloud."""

    cells: tuple[CellAddress, ...]
    host_cells: dict[str, str]  #: host -> uuid of the cell that it is mapped to
    aggregates: tuple[HostAggregate, ...]
    flavors: tuple[Flavor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeCloud:
    """Everything that capacity is counted from."""

    cells: tuple[Cell, ...]
    hosts: tuple[ComputeHost, ...]
    providers: tuple[Provider, ...]
    inventories: tuple[ResourceInventory, ...]
    flavors: tuple[Flavor, ...] = ()
    #: All traits that Placement knows: it answers a question that names another one with an error,
    #: be the trait required or forbidden. None where that was not read.
    trait_names: frozenset[str] | None = None
    #: Whether Nova asks for VCPU where a pinned instance finds no PCPU
    #: (not [workarounds] disable_fallback_pcpu_query).
    retries_pinned: bool = True
    devices: DeviceRules = NO_RULES  #: what aliases of PCI devices stand for


def is_true(text: str | None) -> bool:
    """Read a boolean extra spec as Nova does; what it does not know is false."""
    return (text or "").strip().lower() in {"1", "t", "true", "on", "y", "yes"}


def find_dedicated_mask(flavor: Flavor) -> str:
    """Return which virtual CPUs of a guest with mixed CPUs are dedicated; empty where none are."""
    specs = flavor.extra_specs
    mask = specs.get("hw:cpu_dedicated_mask", "")
    if not mask and is_true(specs.get("hw:cpu_realtime")):
        mask = specs.get("hw:cpu_realtime_mask") or f"0-{flavor.vcpus - 1}"
    return mask
