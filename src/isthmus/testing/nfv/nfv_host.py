"""Hosts made to measure: inventories of any shape from a few numbers, for tests and benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from isthmus.model.host import host_inventory as model


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A machine in a few numbers, as a data sheet and `lscpu` give them."""

    name: str
    sockets: int = 2
    nodes_per_socket: int = 1
    cores_per_node: int
    threads: int = 2
    #: halves: siblings are n and n + all cores (Intel and AMD under Linux); pairs: 2n and 2n + 1;
    #: alternate: as halves, but cores go round the nodes (Dell's numbering).
    numbering: str = "halves"
    memory_mib: Sequence[int] = ()  #: per node; one number: the same on all
    same_socket: int = 12  #: SLIT between nodes of one socket
    other_socket: int = 21
    nics: Sequence[model.Nic] = ()
    vendor: str = "GenuineIntel"
    page_sizes_kib: tuple[int, ...] = (2048, 1048576)
    kernel: str = "6.8.0"
    ovs: str = "3.3.0"
    node_ids: Sequence[int] = field(default_factory=tuple)  #: where they have gaps


def make_host(shape: Shape) -> model.HostInventory:
    """Make the inventory of a shape."""
    count = shape.sockets * shape.nodes_per_socket
    ids = tuple(shape.node_ids) or tuple(range(count))
    memory = tuple(shape.memory_mib) * (count if len(shape.memory_mib) == 1 else 1)
    cores = tuple(
        model.Core(
            socket=index // shape.nodes_per_socket,
            id=core,
            node=ids[index],
            cpus=_number(shape, count, index, core),
        )
        for index in range(count)
        for core in range(shape.cores_per_node)
    )
    return model.HostInventory(
        name=shape.name,
        source="saved",
        cpu_vendor=shape.vendor,
        cores=tuple(sorted(cores, key=lambda core: core.cpus)),
        nodes=tuple(
            model.NumaNode(
                id=ids[index],
                memory_mib=memory[index],
                distances=tuple(_distance(shape, index, other) for other in range(count)),
            )
            for index in range(count)
        ),
        nics=tuple(shape.nics),
        page_sizes_kib=shape.page_sizes_kib,
        iommu=True,
        kernel_release=shape.kernel,
        ovs_version=shape.ovs,
    )


def _number(shape: Shape, count: int, index: int, core: int) -> tuple[int, ...]:
    if shape.numbering == "pairs":
        first = (index * shape.cores_per_node + core) * shape.threads
        return tuple(range(first, first + shape.threads))
    if shape.numbering == "alternate":
        first = core * count + index
    else:
        first = index * shape.cores_per_node + core
    return tuple(first + thread * count * shape.cores_per_node for thread in range(shape.threads))


def _distance(shape: Shape, near: int, far: int) -> int:
    if near == far:
        return 10
    same = near // shape.nodes_per_socket == far // shape.nodes_per_socket
    return shape.same_socket if same else shape.other_socket


def make_nic(  # noqa: PLR0913 - a NIC has that many faces
    name: str,
    node: int | None,
    *,
    vfs: int = 64,
    bus: int = 0x3B,
    speed: int = 25_000,
    vendor: str = "8086",
    product: str = "158b",
    vf_product: str = "154c",
    driver: str = "i40e",
) -> model.Nic:
    """Make a port; `bus` keeps PCI addresses apart.

    Args:
        name: of its interface.
        node: its NUMA node; None where the firmware does not tell.
        vfs: how many virtual functions it can have.
        bus: PCI bus, which keeps addresses apart.
        speed: in Mbit/s.
        vendor: PCI id.
        product: PCI id.
        vf_product: PCI id of its virtual functions.
        driver: of the kernel.
    """
    return model.Nic(
        name=name,
        pci_address=f"0000:{bus:02x}:00.0",
        node=node,
        driver=driver,
        vendor_id=vendor,
        product_id=product,
        vf_product_id=vf_product,
        speed_mbps=speed,
        mtu=1500,
        max_vfs=vfs,
    )


#: Two nodes with 64 GiB each; ports a0 and k0 are on the first, b0 and s0 on the second.
TWO_NODES = Shape(
    name="h",
    cores_per_node=8,
    memory_mib=(65536,),
    nics=(
        make_nic("a0", 0, bus=0x10),
        make_nic("b0", 1, bus=0x20),
        make_nic("s0", 1, bus=0x30),
        make_nic("k0", 0, bus=0x40),
    ),
)
