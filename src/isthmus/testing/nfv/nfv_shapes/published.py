"""What a published machine is, and the ports and demands that several of them share."""

from dataclasses import dataclass

from isthmus.model.host.host_inventory import HostInventory
from isthmus.testing.nfv.nfv_host import make_nic

GIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One machine, where it was published, and what is wanted of it."""

    inventory: HostInventory
    demand: str  #: YAML
    source: str  #: address of the page
    ours: str = ""  #: what the page does not say


TWO_PORTS = (make_nic("dpdk1", 0), make_nic("sriov1", 1, bus=0xAF))
DPDK_BESIDE_SRIOV = """
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1]}
- {name: direct, by: sriov, nics: [sriov1], trusted: true}
tunnel_network: fast
flavors:
- {name: router, vcpus: 4, ram_mib: 8192, networks: [fast, tunnel]}
- {name: gateway, vcpus: 4, ram_mib: 8192, count: 2, networks: [direct]}
"""
ONE_PORT = """
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1]}
flavors:
- {name: router, vcpus: 4, ram_mib: 8192, networks: [fast]}
"""
EVERY_NODE = """
physical_networks:
- {name: fast, by: ovs-dpdk, nics: [dpdk1]}
pmd: {on_every_node: true}
"""
