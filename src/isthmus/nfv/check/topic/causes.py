"""What lines of Open vSwitch's log mean, and what to do about it."""

import re
from collections.abc import Sequence

#: pattern -> remedy; the first that matches an error counts, since later ones are less certain.
CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"group is not viable",
        "bind all devices of its IOMMU group to vfio-pci, or free them of any driver; a card in "
        "another slot, or firmware with ACS, has a group of its own",
    ),
    (
        r"(IOMMU|iommu).*(not (found|supported|enabled)|disabled)|No IOMMU|failed to open VFIO "
        r"container|VFIO support could not be initialized|cannot open VFIO container",
        "switch VT-d or AMD-Vi on in firmware and on the kernel line, and load vfio-pci",
    ),
    (
        r"memory pool.*Invalid argument|Invalid argument.*memory pool",
        "install DPDK's ring mempool driver (Debian: librte-mempool-ring23), then restart Open "
        "vSwitch",
    ),
    (
        r"[Nn]o free .*hugepages|Cannot get hugepage|hugepages? .*(not available|no mount)|not "
        r"enough memory|Not enough memory|memory pool.*(Cannot allocate|No such)|Cannot allocate "
        r"memory|insufficient hugepage|couldn't reserve|FATAL: Cannot init memory",
        "make huge pages on the port's node (nr_hugepages there is short), then restart Open "
        "vSwitch",
    ),
    (
        r"vhost.*(Permission denied|bind|failed to connect)|Permission denied.*vhost",
        "let QEMU write to the folder of the sockets, and Open vSwitch to the sockets in it",
    ),
    (
        r"[Pp]ermission denied|Operation not permitted",
        "run Open vSwitch as root, or give its user /dev/vfio and /dev/hugepages",
    ),
    (
        r"[Uu]nsupported MTU|[Ff]ailed to set MTU|MTU.*(too large|Invalid)",
        "lower the MTU to what the device takes",
    ),
    (
        r"Driver cannot attach|No such device|Cannot find device|cannot find .*driver|failed to "
        r"attach|Error attaching",
        "bind the device to vfio-pci, and install DPDK's driver for it (Debian: librte-net-*)",
    ),
    (r"FATAL|Cannot init EAL|Unable to initialize DPDK", "see the lines before it in the log"),
)
OTHERWISE = "see ovs-vswitchd.log; is the device bound, and has its node huge pages?"


def find_cause(log: str, words: Sequence[str] = (), *, error: str = "") -> tuple[str, str]:
    """Find what an error comes from.

    Args:
        log: lines of the switch's log, the newest last.
        words: what a line about this port has: its name, its PCI address.
        error: what the database has of it.

    Returns:
        The line that says most, and the remedy.
    """
    lines = [line for line in log.splitlines() if "|dpdk" in line or "netdev_dpdk|" in line]
    mine = [line for line in lines if any(_names(line, word) for word in words if word)]
    said = [*mine, *(line for line in lines if line not in mine)]
    for pattern, remedy in CAUSES:
        for line in reversed(said):
            if re.search(pattern, line) and ("|ERR|" in line or "|EMER|" in line):
                return _shorten(line), remedy
    for pattern, remedy in CAUSES:
        if error and re.search(pattern, error):
            return _shorten((mine or [error])[-1]), remedy
    return _shorten((mine or lines or [error or "its log says nothing"])[-1]), OTHERWISE


def _names(line: str, word: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", line) is not None


def _shorten(line: str) -> str:
    """Drop time and number: `2026-...|00042|dpdk|ERR|EAL: ...`."""
    return re.sub(r"^.*?\|(ERR|WARN|EMER)\|", "", line)[:300]
