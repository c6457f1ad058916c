"""EPYC in its NPS modes."""

from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_shapes.published import (
    DPDK_BESIDE_SRIOV,
    GIB,
    ONE_PORT,
    TWO_PORTS,
    Published,
)

AMD: tuple[Published, ...] = (
    Published(
        inventory=make_host(
            Shape(
                name="epyc-7742-nps1",
                cores_per_node=64,
                memory_mib=(256 * GIB,),
                other_socket=32,
                vendor="AuthenticAMD",
                nics=TWO_PORTS,
            )
        ),
        demand=DPDK_BESIDE_SRIOV,
        source="https://infohub.delltechnologies.com/en-us/p/"
        "numa-configuration-settings-on-amd-epyc-2nd-generation/",
        ours="ports and memory",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="epyc-7742-nps4",
                nodes_per_socket=4,
                cores_per_node=16,
                memory_mib=(64 * GIB,),
                other_socket=32,
                vendor="AuthenticAMD",
                nics=(
                    make_nic("dpdk1", 3, vendor="15b3", product="1017", driver="mlx5_core"),
                    make_nic("dpdk2", 6, bus=0xC1, vendor="15b3", product="1017"),
                    make_nic("sriov1", 7, bus=0xE1),
                ),
            )
        ),
        demand="""
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1, dpdk2], packet_rate_mpps: 5, mtu: 9000}
- {name: direct, by: sriov, nics: [sriov1], vfs: 16}
tunnel_network: fast
flavors:
- {name: router, vcpus: 8, ram_mib: 16384, count: 2, networks: [fast]}
- {name: wide, vcpus: 16, ram_mib: 32768, numa_nodes: 2, networks: [fast, direct]}
""",
        source="https://infohub.delltechnologies.com/en-us/p/"
        "numa-configuration-settings-on-amd-epyc-2nd-generation/",
        ours="ports (two of them Mellanox, which keep their kernel driver) and memory",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="epyc-16-cores-nps2",
                sockets=1,
                nodes_per_socket=2,
                cores_per_node=8,
                memory_mib=(64 * GIB,),
                vendor="AuthenticAMD",
                nics=(make_nic("dpdk1", 1, bus=0x81),),
            )
        ),
        demand=ONE_PORT,
        source="https://infohub.delltechnologies.com/en-us/p/"
        "numa-configuration-settings-on-amd-epyc-2nd-generation/",
        ours="ports and memory; 16 cores in one socket",
    ),
)
