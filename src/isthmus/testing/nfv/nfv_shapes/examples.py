"""Worked examples of OpenStack documents: machines with a layout to compare with."""

from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_shapes.published import EVERY_NODE, GIB, Published

EXAMPLES: tuple[Published, ...] = (
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
        demand=EVERY_NODE,
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
        demand=EVERY_NODE,
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
        demand="""
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
        demand="""
physical_networks:
- {name: prv, by: ovs-dpdk, nics: [dpdk1, dpdk2], bond: true, packet_rate_mpps: 1.5}
flavors:
- {name: vnf, vcpus: 4, ram_mib: 4096, count: 2, networks: [prv]}
""",
        source="https://docs.mirantis.com/mcp/q4-18/mcp-deployment-guide/advanced-config/"
        "enable-nfv/enable-dpdk/ovs-dpdk/ovs-dpdk-enable-procedure.html",
        ours="that CPUs 0-11 are 6 cores of 2 threads; memory",
    ),
)
