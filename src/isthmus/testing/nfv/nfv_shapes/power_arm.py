"""POWER, whose nodes have gaps or no memory, and ARM with one large node."""

from isthmus.model.host.host_inventory import Core, HostInventory, NumaNode
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_shapes.published import DPDK_BESIDE_SRIOV, GIB, ONE_PORT, Published


def _power8() -> HostInventory:
    """POWER8 as its owner posted it: two of four nodes without memory, SMT off."""
    return HostInventory(
        name="power8-s822lc",
        source="commands",
        cores=tuple(
            Core(socket=node // 2, id=index, node=node, cpus=(node * 40 + index * 8,))
            for node in range(4)
            for index in range(5)
        ),
        nodes=tuple(
            NumaNode(
                id=node,
                memory_mib={0: 30359, 2: 30425}.get(node, 0),
                distances=tuple(
                    10 if node == far else 20 if node // 2 == far // 2 else 40 for far in range(4)
                ),
            )
            for node in range(4)
        ),
        nics=(make_nic("dpdk1", 0, vfs=0), make_nic("dpdk2", 1, bus=0x42, vfs=0)),
        kernel_release="3.19.0",
    )


POWER_ARM: tuple[Published, ...] = (
    Published(
        inventory=make_host(
            Shape(
                name="power9-two-sockets",
                cores_per_node=16,
                threads=4,
                numbering="pairs",
                memory_mib=(16 * GIB,),
                other_socket=40,
                vendor="",
                node_ids=(0, 8),
                nics=(make_nic("dpdk1", 8),),
                page_sizes_kib=(2048, 1048576),
                kernel="4.18.0",
            )
        ),
        demand=ONE_PORT,
        source="https://www.gaborsamu.com/blog/numa_lsf/",
        ours="ports; firmware numbers the second socket's node 8",
    ),
    Published(
        inventory=_power8(),
        demand="""
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1]}
page_size: 2MiB
flavors:
- {name: vnf, vcpus: 2, ram_mib: 4096, count: 1, networks: [fast]}
""",
        source="https://linux.tutorialink.com/how-many-numa-nodes-on-a-power8-processor",
        ours="ports",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="ampere-altra-one-node",
                sockets=1,
                cores_per_node=80,
                threads=1,
                memory_mib=(256 * GIB,),
                vendor="ARM",
                nics=(make_nic("dpdk1", 0), make_nic("sriov1", 0, bus=0xAF)),
            )
        ),
        demand=DPDK_BESIDE_SRIOV,
        source="https://www.anandtech.com/show/16315/the-ampere-altra-review/2",
        ours="ports and memory",
    ),
)
