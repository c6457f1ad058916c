"""What facts may hold of files that people keep secrets in: names, and nothing that is not named.

nova.conf has passwords, libvirt's record of an instance has those of its console and its disks, an
interface of Open vSwitch has the keys of its tunnel, and kernel lines have been seen with those of
iSCSI. So none of them is taken whole: the script on the host itself leaves out what is not below.
"""

#: Options of oslo.config files, as section/option; `neutron_physnet_*` stands for all of its kind.
OPTIONS = (
    "DEFAULT/vcpu_pin_set",
    "DEFAULT/reserved_host_cpus",
    "DEFAULT/reserved_host_memory_mb",
    "DEFAULT/reserved_huge_pages",
    "DEFAULT/cpu_allocation_ratio",
    "DEFAULT/ram_allocation_ratio",
    "DEFAULT/pci_passthrough_whitelist",
    "DEFAULT/pci_alias",
    "compute/cpu_dedicated_set",
    "compute/cpu_shared_set",
    "neutron/physnets",
    "neutron_physnet_*/numa_nodes",
    "neutron_tunnel/numa_nodes",
    "pci/device_spec",
    "pci/passthrough_whitelist",
    "pci/alias",
    "libvirt/virt_type",
    "libvirt/cpu_mode",
    "libvirt/cpu_power_management",
    "libvirt/rx_queue_size",
    "libvirt/tx_queue_size",
    "libvirt/num_pcie_ports",
    "ovs/bridge_mappings",
    "ovs/datapath_type",
    "ovs/vhostuser_socket_dir",
    "ovn/vhost_sock_dir",
    "sriov_nic/physical_device_mappings",
    "sriov_nic/exclude_devices",
)
#: Words of a kernel line, by what stands before the equals sign.
KERNEL_WORDS = (  # noqa: SIM905 - one word a name reads better
    "default_hugepagesz hugepagesz hugepages isolcpus nohz nohz_full rcu_nocbs rcu_nocb_poll "
    "irqaffinity kthread_cpus intel_iommu amd_iommu iommu iommu.passthrough iommu.strict nosmt "
    "mitigations skew_tick tsc nosoftlockup nowatchdog intel_pstate amd_pstate idle "
    "processor.max_cstate intel_idle.max_cstate cpufreq.default_governor transparent_hugepage "
    "numa_balancing numa pcie_acs_override memmap mem systemd.cpu_affinity default_smp_affinity"
).split()
#: Elements of libvirt's record, as path@attributes; `text` stands for what is inside.
ELEMENTS = (
    "domstatus@",
    "domstatus/vcpus@",
    "domstatus/vcpus/vcpu@id,pid",
    "domstatus/domain@type,id",
    "domstatus/domain/name@text",
    "domstatus/domain/iothreads@text",
    "domstatus/domain/memoryBacking@",
    "domstatus/domain/memoryBacking/hugepages@",
    "domstatus/domain/memoryBacking/hugepages/page@size,unit,nodeset",
    "domstatus/domain/memoryBacking/access@mode",
    "domstatus/domain/memoryBacking/locked@",
    "domstatus/domain/cputune@",
    "domstatus/domain/cputune/vcpupin@vcpu,cpuset",
    "domstatus/domain/cputune/emulatorpin@cpuset",
    "domstatus/domain/cputune/iothreadpin@iothread,cpuset",
    "domstatus/domain/cputune/vcpusched@vcpus,scheduler,priority",
    "domstatus/domain/numatune@",
    "domstatus/domain/numatune/memory@mode,nodeset",
    "domstatus/domain/numatune/memnode@cellid,mode,nodeset",
    "domstatus/domain/cpu@mode",
    "domstatus/domain/cpu/numa@",
    "domstatus/domain/cpu/numa/cell@id,cpus,memory,unit,memAccess",
    "domstatus/domain/devices@",
    "domstatus/domain/devices/interface@type",
    "domstatus/domain/devices/interface/source@type,path,mode",
    "domstatus/domain/devices/interface/target@dev",
    "domstatus/domain/devices/interface/model@type",
    "domstatus/domain/devices/interface/driver@name,queues,rx_queue_size,tx_queue_size",
    "domstatus/domain/devices/interface/mtu@size",
)
#: Keys of the maps of Open vSwitch's database: other_config, external_ids, options and status.
OVS_KEYS = (  # noqa: SIM905
    "uuid dpdk-init dpdk-lcore-mask dpdk-socket-mem dpdk-socket-limit dpdk-extra dpdk-alloc-mem "
    "dpdk-hugepage-dir pmd-cpu-mask pmd-rxq-assign pmd-rxq-isolate per-port-memory pmd-maxsleep "
    "pmd-sleep-max pmd-auto-lb shared-mempool-config hw-offload tc-policy vhost-iommu-support "
    "vhost-postcopy-support userspace-tso-enable emc-insert-inv-prob smc-enable max-idle "
    "ovn-bridge-datapath-type ovn-bridge-mappings ovn-bridge "
    "dpdk-devargs n_rxq n_txq n_rxq_desc n_txq_desc vhost-server-path dq-zero-copy rx-steering "
    "pmd-rxq-affinity lacp-time bond-rebalance-interval "
    "numa numa_id mode status num_of_vrings vring_0_size vring_1_size socket driver_name max_mtu "
    "if_descr link_speed n_rxq n_txq port_no features pci-device_id pci-vendor_id bus_info n-rxq "
    "rx_csum_offload rx_rss tx_tso driver_version min_rx_bufsize max_rx_queues max_tx_queues"
).split()
