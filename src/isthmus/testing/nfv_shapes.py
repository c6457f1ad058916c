"""Published machines as inventories, each with the intent that its golden plan is made for.

The numbers come from the pages named at each; what a page leaves out (ports, mostly) is ours and
said. Several pages also say how they would lay the machine out: `tests/tables` compares with them.
"""

from dataclasses import dataclass

from isthmus.model.host_inventory import Core, HostInventory, NumaNode
from isthmus.testing.nfv_host import Shape, make_host, make_nic

GIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One machine, where it was published, and what is wanted of it."""

    inventory: HostInventory
    intent: str  #: YAML
    source: str  #: address of the page
    ours: str = ""  #: what the page does not say


_TWO_PORTS = (make_nic("dpdk1", 0), make_nic("sriov1", 1, bus=0xAF))
_DPDK_BESIDE_SRIOV = """
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1]}
- {name: direct, by: sriov, nics: [sriov1], trusted: true}
tunnel_network: fast
flavors:
- {name: router, vcpus: 4, ram_mib: 8192, networks: [fast, tunnel]}
- {name: gateway, vcpus: 4, ram_mib: 8192, count: 2, networks: [direct]}
"""
_ONE_PORT = """
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1]}
flavors:
- {name: router, vcpus: 4, ram_mib: 8192, networks: [fast]}
"""
_EVERY_NODE = """
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1]}
pmd: {on_every_node: true}
"""


def _cpuless() -> HostInventory:
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


def _phi() -> HostInventory:
    """Xeon Phi 7230, SNC-4, flat: nodes 4 to 7 are fast memory without a CPU."""
    host = make_host(
        Shape(
            name="xeon-phi-snc4-flat",
            sockets=1,
            nodes_per_socket=4,
            cores_per_node=16,
            threads=4,
            memory_mib=(48 * GIB,),
            same_socket=21,
            nics=(make_nic("dpdk1", 0),),
        )
    )
    far = {True: 31, False: 41}
    nodes = tuple(
        NumaNode(
            id=node,
            memory_mib=48 * GIB if node < 4 else 4 * GIB,
            distances=tuple(
                10
                if node == other
                else 21
                if node < 4 and other < 4
                else far[node % 4 == other % 4]
                for other in range(8)
            ),
        )
        for node in range(8)
    )
    return HostInventory(
        name=host.name,
        source="saved",
        cpu_vendor=host.cpu_vendor,
        cores=host.cores,
        nodes=nodes,
        nics=host.nics,
        page_sizes_kib=host.page_sizes_kib,
        kernel_release=host.kernel_release,
        ovs_version=host.ovs_version,
    )


PUBLISHED: tuple[Published, ...] = (
    Published(
        inventory=make_host(
            Shape(
                name="redhat-two-nodes",
                cores_per_node=4,
                numbering="pairs",
                memory_mib=(64 * GIB,),
                nics=(make_nic("dpdk1", 0), make_nic("nic2", 1, bus=0xAF)),
            )
        ),
        intent=_EVERY_NODE,
        source="https://docs.redhat.com/ja/documentation/red_hat_openstack_platform/16.0/html/"
        "network_functions_virtualization_planning_and_configuration_guide/proc_two-numa-ovsdpdk",
        ours="memory",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="osa-xeon-2450l",
                cores_per_node=8,
                memory_mib=(48329, 48379),
                other_socket=20,
                nics=(make_nic("dpdk1", 0, bus=0x03, speed=10_000),),
            )
        ),
        intent=_EVERY_NODE,
        source="https://docs.openstack.org/openstack-ansible-os_neutron/latest/"
        "app-openvswitch-dpdk.html",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="redhat-hci-88",
                cores_per_node=22,
                numbering="alternate",
                memory_mib=(128 * GIB,),
                nics=(make_nic("dpdk1", 0), make_nic("dpdk2", 1, bus=0xAF)),
            )
        ),
        intent="""
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1, dpdk2], mtu: 9000}
host: {memory_mib: 16384}
""",
        source="https://docs.redhat.com/zh-cn/documentation/red_hat_OpenStack_platform/13/html/"
        "network_functions_virtualization_planning_and_configuration_guide/"
        "example-dpdk-file_hci-dpdk",
        ours="ports, and that hugepages=240 of 256 GiB leaves 16 GiB",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="mirantis-one-node",
                sockets=1,
                cores_per_node=6,
                memory_mib=(64 * GIB,),
                nics=(make_nic("dpdk1", 0), make_nic("dpdk2", 0, bus=0x3C)),
            )
        ),
        intent="""
physical_networks:
- {name: prv, by: ovs-dpdk, nics: [dpdk1, dpdk2], bond: true, packet_rate_mpps: 1.5}
flavors:
- {name: vnf, vcpus: 4, ram_mib: 4096, count: 2, networks: [prv]}
""",
        source="https://docs.mirantis.com/mcp/q4-18/mcp-deployment-guide/advanced-config/"
        "enable-nfv/enable-dpdk/ovs-dpdk/ovs-dpdk-enable-procedure.html",
        ours="that CPUs 0-11 are 6 cores of 2 threads; memory",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="xeon-no-hyperthreading",
                cores_per_node=24,
                threads=1,
                memory_mib=(96 * GIB,),
                nics=_TWO_PORTS,
            )
        ),
        intent=_DPDK_BESIDE_SRIOV,
        source="https://access.redhat.com/documentation/en-us/red_hat_openstack_platform/16.1/html/"
        "network_functions_virtualization_planning_and_configuration_guide/parent_assembly_tuning",
        ours="a 2 x 24 core Xeon with hyper-threading switched off, as real-time hosts have it",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="xeon-uneven-memory",
                cores_per_node=16,
                memory_mib=(64 * GIB, 192 * GIB),
                nics=_TWO_PORTS,
            )
        ),
        intent=_DPDK_BESIDE_SRIOV,
        source="https://infohub.delltechnologies.com/en-us/p/"
        "numa-configuration-settings-on-amd-epyc-2nd-generation/",
        ours="DIMMs of one socket only doubled twice; the page says that halves may differ",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="xeon-nics-on-one-node",
                cores_per_node=28,
                memory_mib=(192 * GIB,),
                nics=(make_nic("dpdk1", 1), make_nic("sriov1", 1, bus=0xAF)),
            )
        ),
        intent=_DPDK_BESIDE_SRIOV.replace(
            "networks: [fast, tunnel]", "numa_nodes: 2, networks: [fast]"
        ),
        source="https://developers.redhat.com/blog/2017/06/28/ovs-dpdk-parameters-dealing-with-"
        "multi-numa",
        ours="two Xeon 8280 with both ports in slots of the second socket",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="xeon-8380-snc2",
                nodes_per_socket=2,
                cores_per_node=20,
                memory_mib=(64 * GIB,),
                same_socket=11,
                other_socket=20,
                nics=(make_nic("dpdk1", 1), make_nic("sriov1", 2, bus=0xAF)),
            )
        ),
        intent=_DPDK_BESIDE_SRIOV,
        source="https://phabricator.wikimedia.org/T207312",
        ours="ports and memory; the page discusses sub-NUMA clustering for OpenStack hosts",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="xeon-8480-snc4",
                nodes_per_socket=4,
                cores_per_node=14,
                memory_mib=(64 * GIB,),
                nics=(make_nic("dpdk1", 2), make_nic("sriov1", 5, bus=0xAF)),
            )
        ),
        intent=_DPDK_BESIDE_SRIOV,
        source="https://learn.padho.ai/wiki/numa-topology-discovery",
        ours="ports and memory; 224 CPUs reach beyond DPDK's 128 lcores",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="epyc-7742-nps1",
                cores_per_node=64,
                memory_mib=(256 * GIB,),
                other_socket=32,
                vendor="AuthenticAMD",
                nics=_TWO_PORTS,
            )
        ),
        intent=_DPDK_BESIDE_SRIOV,
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
        intent="""
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
        intent=_ONE_PORT,
        source="https://infohub.delltechnologies.com/en-us/p/"
        "numa-configuration-settings-on-amd-epyc-2nd-generation/",
        ours="ports and memory; 16 cores in one socket",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="four-sockets-two-nodes-each",
                sockets=4,
                nodes_per_socket=2,
                cores_per_node=4,
                memory_mib=(32 * GIB,),
                nics=(make_nic("dpdk1", 0), make_nic("sriov1", 7, bus=0xE1)),
            )
        ),
        intent=_DPDK_BESIDE_SRIOV.replace(
            "by: ovs-dpdk", "by: ovs-dpdk, affinity: preferred"
        ).replace("count: 2", "count: 1"),
        source="http://iopenv.com/VA6QFFYFR/Miscellaneous-Notes-10-Detailed-Explanation-of-Numa",
        ours="ports, memory and numbering",
    ),
    Published(
        inventory=make_host(
            Shape(
                name="hitachi-eight-sockets",
                sockets=8,
                cores_per_node=10,
                memory_mib=(256 * GIB,),
                nics=(make_nic("dpdk1", 0), make_nic("sriov1", 7, bus=0xE1)),
            )
        ),
        intent=_DPDK_BESIDE_SRIOV,
        source="https://superuser.com/questions/916516/"
        "is-the-amount-of-numa-nodes-always-equal-to-sockets",
        ours="ports and memory",
    ),
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
        intent=_ONE_PORT,
        source="https://www.gaborsamu.com/blog/numa_lsf/",
        ours="ports; firmware numbers the second socket's node 8",
    ),
    Published(
        inventory=_cpuless(),
        intent="""
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
        inventory=_phi(),
        intent=_ONE_PORT,
        source="https://www.alcf.anl.gov/user-guides/xc40-memory-modes",
        ours="ports; distances as Intel documents them for this mode",
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
        intent=_DPDK_BESIDE_SRIOV,
        source="https://www.anandtech.com/show/16315/the-ampere-altra-review/2",
        ours="ports and memory",
    ),
)


def by_name(name: str) -> Published:
    """Find one by its inventory's name."""
    return next(one for one in PUBLISHED if one.inventory.name == name)
