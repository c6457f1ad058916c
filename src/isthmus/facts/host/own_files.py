"""Facts of what `isthmus nfv apply` puts on a host: files, mounts, folders, tuned's profile."""

from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Fact, Requires, command, file, words

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
BOOT_FILES = ("/etc/default/grub", "/etc/default/grub.d/*.cfg")
TUNED_FILES = ("/etc/tuned/active_profile", "/etc/tuned/cpu-partitioning-variables.conf")


def parse_digests(text: str) -> dict[str, str]:
    """Read the output of sha256sum: path -> digest."""
    parts = (line.partition("  ") for line in text.splitlines())
    return {path: digest for digest, _, path in parts if path}


def parse_mounts(text: str) -> tuple[tuple[str, str], ...]:
    """Read lines of /proc/mounts: where, and with which options."""
    rows = map(str.split, text.splitlines())
    return tuple((row[1], row[3]) for row in rows if len(row) > 3)


def _files(prefix: str, seen: HostFacts) -> dict[str, str]:
    return {path: text for path, text in seen.files.items() if path.startswith(prefix)}


DIGESTS = Fact(
    "digests",
    lambda seen: parse_digests(seen.commands["digests"]),
    (command("digests", f"sha256sum {' '.join(OWN_FILES)} 2>/dev/null; true"),),
    sample="0" * 64 + "  /etc/modules-load.d/isthmus-nfv.conf\n",
)
MOUNTS = Fact(
    "mounts",
    lambda seen: parse_mounts(seen.commands["hugetlbfs"]),
    (command("hugetlbfs", "grep ' hugetlbfs ' /proc/mounts; true"),),
    sample="hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=1024M 0 0\n",
)
#: Mode, user and group of the folder of vhost-user sockets; empty where there is no such folder.
SOCKETS = Fact(
    "sockets",
    lambda seen: seen.commands.get("vhost-sockets", "").strip(),
    (command("vhost-sockets", "stat -c '%a %U %G' /var/lib/vhost_sockets"),),
    failure_tells=True,
    sample="2775 libvirt-qemu kvm\n",
)
#: Words of the kernel line that the boot loader's files give: path -> words.
BOOT = Fact(
    "boot",
    lambda seen: _files("/etc/default/grub", seen),
    tuple(map(words, BOOT_FILES)),
    Requires(privilege="root"),
)
#: The name of tuned's active profile.
TUNED = Fact(
    "tuned",
    lambda seen: seen.text("/etc/tuned/active_profile"),
    tuple(map(file, TUNED_FILES)),
    Requires(package="tuned", privilege="root"),
)
FACTS = (DIGESTS, MOUNTS, SOCKETS, BOOT, TUNED)
