"""Raw facts of a host: files, links and command output, gathered by one script in one go.

The script is plain POSIX shell and awk, reads only, and needs nothing installed, so that the same
client works for a live host, over ssh and inside a ramdisk. Its output is a text file which can be
kept and parsed later: a bug report with it can be replayed. It holds no secret: see `allow`.
"""

import base64
import binascii
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources

from isthmus import errors
from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv.inspect import allow

MAGIC = "# isthmus host facts 1"
END = "# end of facts"

#: Files that describe hardware; globs of the shell.
HARDWARE_FILES = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/hostname",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/smt/active",
    "/sys/devices/system/cpu/cpu[0-9]*/topology/physical_package_id",
    "/sys/devices/system/cpu/cpu[0-9]*/topology/core_id",
    "/sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list",
    "/sys/devices/system/cpu/cpu[0-9]*/cache/index3/size",
    "/sys/devices/system/cpu/cpu[0-9]*/cache/index3/shared_cpu_list",
    "/sys/devices/system/node/node[0-9]*/cpulist",
    "/sys/devices/system/node/node[0-9]*/meminfo",
    "/sys/devices/system/node/node[0-9]*/distance",
    "/sys/devices/system/node/node[0-9]*/hugepages/hugepages-*/nr_hugepages",
    "/sys/devices/system/node/node[0-9]*/hugepages/hugepages-*/free_hugepages",
    "/sys/class/net/*/address",
    "/sys/class/net/*/mtu",
    "/sys/class/net/*/speed",
    "/sys/class/net/*/operstate",
    "/sys/class/net/*/phys_port_name",
    "/sys/class/net/*/dev_port",
    "/sys/bus/pci/devices/*/class",
    "/sys/bus/pci/devices/*/vendor",
    "/sys/bus/pci/devices/*/device",
    "/sys/bus/pci/devices/*/numa_node",
    "/sys/bus/pci/devices/*/sriov_totalvfs",
    "/sys/bus/pci/devices/*/sriov_numvfs",
    "/sys/bus/pci/devices/*/sriov_vf_device",
)
#: Links whose target says something.
LINKS = (
    "/sys/class/net/*/device",
    "/sys/bus/pci/devices/*/driver",
    "/sys/bus/pci/devices/*/iommu_group",
    "/sys/bus/pci/devices/*/physfn",
    "/sys/class/iommu/*",
)
#: Files that describe how the host is set up and hold nothing else.
SETTING_FILES = (
    "/etc/tuned/active_profile",
    "/etc/tuned/cpu-partitioning-variables.conf",
    "/proc/interrupts",
    "/proc/irq/*/effective_affinity_list",
    "/proc/irq/default_smp_affinity",
)
#: Files of which only what `allow` names is taken.
INI_FILES = (
    *("/etc/nova/nova.conf", "/etc/nova/nova-compute.conf", "/etc/nova/nova.conf.d/*.conf"),
    *("/etc/neutron/neutron-*.conf.d/*.conf", "/etc/neutron/plugins/ml2/*_agent.ini"),
    "/etc/kolla/nova-compute/nova.conf",
    *("/etc/kolla/neutron-openvswitch-agent/*.ini", "/etc/kolla/neutron-sriov-agent/*.ini"),
    "/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf",
    "/var/lib/config-data/puppet-generated/neutron/etc/neutron/plugins/ml2/*_agent.ini",
    "/var/lib/openstack/config/nova/*.conf",
    "/var/lib/openstack/config/neutron-sriov-agent/*.conf",
)
LINE_FILES = ("/etc/default/grub", "/etc/default/grub.d/*.cfg")
#: Files that `apply` writes: their digests tell whether they are as rendered.
OWN_FILES = (
    "/etc/default/grub.d/60-isthmus-nfv.cfg",
    "/etc/modules-load.d/isthmus-nfv.conf",
    "/etc/neutron/*/60-isthmus-nfv.conf",
    "/etc/nova/nova.conf.d/60-isthmus-nfv.conf",
    "/etc/systemd/system/*.d/60-isthmus-nfv.conf",
    "/etc/systemd/system/dev-hugepages*.mount",
    "/etc/systemd/system/isthmus*",
    "/etc/tuned/cpu-partitioning-variables.conf",
    "/usr/local/libexec/isthmus-*",
    "/var/lib/openstack/config/nova/60-isthmus-nfv.conf",
)
UNITS = (
    *("nova-compute", "openstack-nova-compute", "tripleo_nova_compute", "edpm_nova_compute"),
    *("kolla-nova_compute-container", "libvirtd", "virtqemud", "ovs-vswitchd"),
    *("neutron-openvswitch-agent", "neutron-sriov-agent", "neutron-sriov-nic-agent"),
    *("ovn-controller", "isthmus-hugepages", "isthmus-nfv-devices", "tuned", "irqbalance"),
)
#: key, columns: the tables of Open vSwitch's database, never whole.
TABLES = (
    ("ovs-vsctl", "Open_vSwitch", "_uuid,dpdk_initialized,other_config,external_ids"),
    (
        "ovs-interfaces",
        "Interface",
        "_uuid,name,type,options,other_config,mtu,mtu_request,error,statistics,status",
    ),
    ("ovs-ports", "Port", "_uuid,name,interfaces,bond_mode,lacp"),
    ("ovs-bridges", "Bridge", "_uuid,name,ports,datapath_type"),
)
LOG = "/var/log/openvswitch/ovs-vswitchd.log"
KOLLA_LOG = "/var/log/kolla/openvswitch/ovs-vswitchd.log"
#: Of the switch's log: errors and warnings of the modules that have to do with DPDK.
LOG_LINES = "[|](dpdk|netdev_dpdk|dpif_netdev|netdev_vport)[^|]*[|](WARN|ERR|EMER)[|]|[|]EMER[|]"
#: key, command; $X runs it where Open vSwitch is.
COMMANDS = (
    ("ovs-version", "$X ovs-vswitchd --version"),
    (
        "ovs-log",
        f"$X grep -hE '{LOG_LINES}' {LOG} {KOLLA_LOG} 2>/dev/null | tail -n 40",
    ),
    ("pmd-rxq-show", "$X ovs-appctl --timeout=5 dpif-netdev/pmd-rxq-show"),
    ("pmd-stats-show", "$X ovs-appctl --timeout=5 dpif-netdev/pmd-stats-show"),
    # pmd-rxq-show fails where there is no user-space datapath yet; this one tells a dead daemon.
    ("vswitchd-version", "$X ovs-appctl --timeout=5 version"),
    ("bonds", "$X ovs-appctl --timeout=5 bond/show"),
    (
        "services",
        f"systemctl show -p Id,LoadState,ActiveState,UnitFileState {' '.join(UNITS)}",
    ),
    ("containers", 'echo "$N"'),
    ("hugetlbfs", "grep ' hugetlbfs ' /proc/mounts; true"),
    ("vhost-sockets", "stat -c '%a %U %G' /var/lib/vhost_sockets"),
    ("functions", "functions"),
    ("digests", f"sha256sum {' '.join(OWN_FILES)} 2>/dev/null; true"),
)
#: Where libvirt keeps what it runs.
DOMAINS = "/run/libvirt/qemu/*.xml"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Everything that the script saw; nothing in it is interpreted."""

    files: Mapping[str, str] = field(default_factory=dict)  #: path -> content
    links: Mapping[str, str] = field(default_factory=dict)  #: path -> where it leads in the end
    commands: Mapping[str, str] = field(default_factory=dict)  #: key -> output, where it succeeded
    failures: Mapping[str, str] = field(default_factory=dict)  #: key -> why not

    def link(self, path: str) -> str:
        """The last part of where a link leads; empty where there is none."""
        return self.links.get(path, "").rpartition("/")[2]

    def text(self, path: str) -> str:
        """The content of a file, stripped; empty where there is none."""
        return self.files.get(path, "").strip()

    def number(self, path: str) -> int | None:
        """A file that holds one number; None where it is missing or not one."""
        try:
            return int(self.text(path), 0)
        except ValueError:
            return None

    def matching(self, prefix: str, suffix: str) -> Iterator[tuple[str, str]]:
        """Return (what is between, content) for each file so named, in order."""
        for path in sorted(self.files):
            if path.startswith(prefix) and path.endswith(suffix):
                middle = path[len(prefix) : len(path) - len(suffix)]
                if middle and "/" not in middle:
                    yield middle, self.files[path]


def render_script(*, root: str = "", settings: bool = False, layout: Layout | None = None) -> str:
    """Write the shell script that gathers facts.

    Args:
        root: a folder in front of every path, for a tree that was copied from elsewhere.
        settings: gather how the host is set up too, not only what it is made of.
        layout: where the host keeps Nova and Open vSwitch; None: found by the script.
    """
    lines = [render_functions(root=root, layout=layout), f"echo '{MAGIC}'; find_layout"]
    files = (*HARDWARE_FILES, *(SETTING_FILES if settings else ()))
    lines += [_each("f", pattern) for pattern in files]
    lines.append(_each("line", "/proc/cmdline"))
    lines += [_each("l", pattern) for pattern in LINKS]
    if settings:
        lines += [_each("ini", pattern) for pattern in INI_FILES]
        lines += [_each("line", pattern) for pattern in LINE_FILES]
        lines.append(_each("domain", DOMAINS))
    lines.append('echo "$L" | b C64 layout 0')
    if not root:
        lines.append("carriers | b C64 carriers 0")
    if not root:
        lines += _render_commands(settings=settings)
    lines.append(f"echo '{END}'")
    return "\n".join(lines) + "\n"


def render_functions(*, root: str = "", layout: Layout | None = None) -> str:
    """Write the shell functions that gather facts, and what they go by; they do nothing yet."""
    values = {
        "R": root,
        "L": str(layout or ""),
        "INI": " ".join(allow.OPTIONS),
        "WORDS": " ".join(allow.KERNEL_WORDS),
        "ELEMENTS": " ".join(allow.ELEMENTS),
        "KEYS": " ".join(allow.OVS_KEYS),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, resources.files(__package__).joinpath("gather.sh").read_text()])


def _each(function: str, pattern: str) -> str:
    return f'for p in "$R"{pattern}; do {function} "$p"; done'


def _render_commands(*, settings: bool) -> list[str]:
    wanted = COMMANDS if settings else tuple(one for one in COMMANDS if one[0] == "ovs-version")
    lines = [f"c {key} {shlex.quote(command)}" for key, command in wanted]
    if settings:
        lines += [
            f"r {key} {shlex.quote(_list_rows(table, columns))}" for key, table, columns in TABLES
        ]
        lines.append("threads | b C64 threads 0")
    return lines


def _list_rows(table: str, columns: str) -> str:
    return f"$X ovs-vsctl --timeout=5 --format=json --columns={columns} list {table}"


def parse_facts(text: str) -> HostFacts:
    """Read the script's output.

    Raises:
        ProtocolError: it is something else, or ends early.
    """
    lines = text.splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise errors.ProtocolError(
            "these are no host facts: the first line is not theirs (isthmus nfv inspect HOST "
            "--facts gathers them)"
        )
    if lines[-1].strip() != END:
        raise errors.ProtocolError("the host facts end early; gather them again")
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    commands: dict[str, str] = {}
    failures: dict[str, str] = {}
    places = {"F": files, "L": links}
    for number, line in enumerate(lines[1:-1], start=2):
        kind, _, rest = line.partition(" ")
        key, _, body = rest.partition(" ")
        try:
            if kind == "F64":
                files[key] = _decode(body)
            elif kind == "C64":
                status, _, encoded = body.partition(" ")
                (commands if status == "0" else failures)[key] = _decode(encoded)
            else:
                places[kind][key] = body
        except (KeyError, ValueError) as exc:
            raise errors.ProtocolError(f"line {number} of the host facts is garbled") from exc
    return HostFacts(files, links, commands, failures)


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error as exc:
        raise ValueError("base64") from exc
