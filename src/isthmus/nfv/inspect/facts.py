"""Raw facts of a host: files, links and command output, gathered by one script in one go.

The script is plain POSIX shell, reads only, and needs nothing installed, so that the same door
works for a live host, over ssh and inside a ramdisk. Its output is a text file which can be kept
and parsed later: a bug report with it can be replayed.
"""

import base64
import binascii
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from isthmus import errors

MAGIC = "# isthmus host facts 1"
END = "# end of facts"

#: Files that describe hardware; globs of the shell.
HARDWARE_FILES = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/cmdline",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/hostname",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
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
#: Files that describe how the host is set up.
SETTING_FILES = (
    "/etc/nova/nova.conf",
    "/etc/nova/nova.conf.d/*.conf",
    "/etc/neutron/neutron-*.conf.d/*.conf",
    "/etc/default/grub",
    "/etc/default/grub.d/*.cfg",
    "/etc/tuned/active_profile",
    "/etc/tuned/cpu-partitioning-variables.conf",
    "/proc/interrupts",
    "/proc/irq/*/effective_affinity_list",
)
COMMANDS = (
    ("ovs-vsctl", "ovs-vsctl --timeout=5 --format=json list Open_vSwitch"),
    (
        "ovs-interfaces",
        "ovs-vsctl --timeout=5 --format=json --columns=name,type,options,other_config,mtu,"
        "mtu_request,error,statistics,status list Interface",
    ),
    ("ovs-version", "ovs-vswitchd --version"),
    ("ovs-log", "grep -hE '[|](ERR|EMER)[|]' /var/log/openvswitch/ovs-vswitchd.log | tail -n 20"),
    ("pmd-rxq-show", "ovs-appctl --timeout=5 dpif-netdev/pmd-rxq-show"),
    ("pmd-stats-show", "ovs-appctl --timeout=5 dpif-netdev/pmd-stats-show"),
    # pmd-rxq-show fails where there is no user-space datapath yet; this one tells a dead daemon.
    ("vswitchd-version", "ovs-appctl --timeout=5 version"),
)
#: Threads that are pinned, or ought to be: instances, the switch, and whatever runs on their CPUs.
#: pid, tid, 1 for a kernel thread, allowed CPUs, name of the process, name of the thread.
THREADS = r"""
printf '%s\n' /proc/[0-9]*/task/[0-9]*/status | xargs grep -sH '^Cpus_allowed_list:' |
while IFS=':	' read -r s key allowed; do
  t=${s%/status}; p=${t%/task/*}
  { IFS= read -r name <"$t/comm" && IFS= read -r owner <"$p/comm"; } 2>/dev/null || continue
  kernel=1; [ -e "$p/exe" ] && kernel=0
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "${p#/proc/}" "${t##*/}" "$kernel" "$allowed" "$owner" "$name"
done
"""
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
        """Give (what is between, content) for each file so named, in order."""
        for path in sorted(self.files):
            if path.startswith(prefix) and path.endswith(suffix):
                middle = path[len(prefix) : len(path) - len(suffix)]
                if middle and "/" not in middle:
                    yield middle, self.files[path]


def render_script(*, root: str = "", settings: bool = False) -> str:
    """Write the shell script that gathers facts.

    Args:
        root: a folder in front of every path, for a tree that was copied from elsewhere.
        settings: gather how the host is set up too, not only what it is made of.
    """
    files = (*HARDWARE_FILES, *((*SETTING_FILES, DOMAINS) if settings else ()))
    lines = [
        "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin",
        f"R='{root}'",
        f"echo '{MAGIC}'",
        # One line a file where it is one line of plain text, else base64: dumps stay readable.
        # The shell reads short files itself: a process for each is most of the time on large hosts.
        'f() { [ -f "$1" ] && [ -r "$1" ] || return 0; c= d= m=',
        '  { IFS= read -r c && { IFS= read -r d || [ -n "$d" ]; } && m=1; } 2>/dev/null <"$1"',
        '  [ -n "$c$m" ] || { c=$(cat "$1" 2>/dev/null) || return 0; }',
        '  if [ -n "$m" ]; then printf \'F64 %s \' "${1#"$R"}"; base64 <"$1" | tr -d "\\n"; echo',
        '  else printf \'F %s %s\\n\' "${1#"$R"}" "$c"; fi; }',
        'l() { [ -L "$1" ] || return 0; t=$(readlink -f "$1"); '
        'printf \'L %s %s\\n\' "${1#"$R"}" "${t#"$R"}"; }',
        'c() { k=$1; shift; o=$(sh -c "$*" 2>&1); s=$?; '
        "printf 'C64 %s %s ' \"$k\" $s; printf '%s\\n' \"$o\" | base64 | tr -d '\\n'; echo; }",
    ]
    lines += [f'for p in "$R"{pattern}; do f "$p"; done' for pattern in files]
    lines += [f'for p in "$R"{pattern}; do l "$p"; done' for pattern in LINKS]
    if not root:
        wanted = COMMANDS if settings else tuple(c for c in COMMANDS if c[0] == "ovs-version")
        lines += [f"c {key} {shlex.quote(command)}" for key, command in wanted]
        if settings:
            lines.append(f"threads() {{ {THREADS} }}")
            lines.append("printf 'C64 threads 0 '; threads | base64 | tr -d '\\n'; echo")
    lines.append(f"echo '{END}'")
    return "\n".join(lines) + "\n"


def parse_facts(text: str) -> HostFacts:
    """Read the script's output.

    Raises:
        ProtocolError: it is something else, or ends early.
    """
    lines = text.splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise errors.ProtocolError("these are no host facts: the first line is not theirs")
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
