"""Xeon and Xeon Phi: hyper-threading on and off, uneven memory, sub-NUMA clustering."""

from isthmus.model.host.host_inventory import HostInventory, NumaNode
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_shapes.published import (
    DPDK_BESIDE_SRIOV,
    GIB,
    ONE_PORT,
    TWO_PORTS,
    Published,
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


INTEL: tuple[Published, ...] = (
    Published(
        inventory=make_host(
            Shape(
                name="xeon-no-hyperthreading",
                cores_per_node=24,
                threads=1,
                memory_mib=(96 * GIB,),
                nics=TWO_PORTS,
            )
        ),
        demand=DPDK_BESIDE_SRIOV,
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
                nics=TWO_PORTS,
            )
        ),
        demand=DPDK_BESIDE_SRIOV,
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
        demand=DPDK_BESIDE_SRIOV.replace(
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
        demand=DPDK_BESIDE_SRIOV,
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
        demand=DPDK_BESIDE_SRIOV,
        source="https://learn.padho.ai/wiki/numa-topology-discovery",
        ours="ports and memory; 224 CPUs reach beyond DPDK's 128 lcores",
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
        demand=DPDK_BESIDE_SRIOV.replace(
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
        demand=DPDK_BESIDE_SRIOV,
        source="https://superuser.com/questions/916516/"
        "is-the-amount-of-numa-nodes-always-equal-to-sockets",
        ours="ports and memory",
    ),
    Published(
        inventory=_phi(),
        demand=ONE_PORT,
        source="https://www.alcf.anl.gov/user-guides/xc40-memory-modes",
        ours="ports; distances as Intel documents them for this mode",
    ),
)
