"""What our virt driver reads from `nova.conf`."""

from oslo_config import cfg

GROUP = "isthmus"
OPTIONS = (
    cfg.StrOpt("lab", help="Folder of the lab, with its ledger."),
    cfg.StrOpt("site", help="Site of the hypervisor."),
    cfg.StrOpt("netns", help="Network namespace of the hypervisor."),
    cfg.StrOpt("guest_prefix", help="What the names of the guests' namespaces begin with."),
    cfg.StrOpt("switch_socket", help="Socket of the hypervisor's Open vSwitch database."),
    cfg.IntOpt("vcpus", default=16, min=1, help="VCPUs that the hypervisor claims to have."),
    cfg.IntOpt("memory_mb", default=16384, min=1, help="Memory that it claims to have, in MiB."),
    cfg.IntOpt("disk_gb", default=100, min=1, help="Disk that it claims to have, in GiB."),
)
