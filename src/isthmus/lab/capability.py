"""What the machine must be able to do before a lab can be made, asked before anything is made."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from isthmus import errors
from isthmus.lab.protocols import Tools

#: Program -> Debian package that has it.
PROGRAMS: Mapping[str, str] = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "ethtool": "ethtool",
    "nft": "nftables",
    "ping": "iputils-ping",
    "dhclient": "isc-dhcp-client",
    "memcached": "memcached",
    "ovsdb-server": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "ovn-northd": "ovn-central",
    "ovn-controller": "ovn-host",
}
#: What a MariaDB of a tier's own needs besides.
MARIADB_PROGRAMS: Mapping[str, str] = {
    "mariadbd": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
}
#: What a Nova needs besides.
COMPUTE_PROGRAMS: Mapping[str, str] = {
    **MARIADB_PROGRAMS,
    "rabbitmq-server": "rabbitmq-server",
}
#: What Neutron's metadata agent needs besides.
METADATA_PROGRAMS: Mapping[str, str] = {"haproxy": "haproxy", "iptables-restore": "iptables"}
_PROBE = "isthmus-probe"
#: Free space that a lab needs for central and for each site, in MiB. A fresh lab of two sites has
#: written 14 MiB; logs and databases grow.
_TIER_MIB = 16
#: What a MariaDB of a tier's own has written besides when a lab is up.
_MARIADB_MIB = 128


def check_machine(
    tools: Tools, *, compute: bool = False, metadata: bool = False, mariadb: bool = False
) -> None:
    """Make sure that a lab can be made here; `compute` for one with a Nova.

    Args:
        tools: of the machine.
        compute: whether the lab has a Nova.
        metadata: whether its hypervisors have Neutron's metadata agent.
        mariadb: whether its Neutron is on MariaDB.

    Raises:
        Refused: this person may not.
        Unsupported: a program or a kernel feature is missing; the message names all of them.
    """
    if os.geteuid() != 0:
        raise errors.Refused("a lab needs root, to make network namespaces: run it with sudo")
    needed = dict(PROGRAMS)
    if mariadb:
        needed |= MARIADB_PROGRAMS
    if compute:
        needed |= COMPUTE_PROGRAMS
    if metadata:
        needed |= METADATA_PROGRAMS
    missing = missing_programs(tools, needed)
    if missing:
        packages = " ".join(sorted({needed[name] for name in missing}))
        raise errors.Unsupported(
            f"{', '.join(missing)} not found: install them with: apt-get install {packages}"
        )
    lacks = kernel_lacks(tools)
    if lacks:
        raise errors.Unsupported(f"this kernel or container does not allow: {'; '.join(lacks)}")


def check_space(folder: Path, tiers: int, *, mariadb: bool = False) -> None:
    """Make sure that the disk takes a lab: services that cannot write end silently, one by one.

    Args:
        folder: of all labs; it exists.
        tiers: of the lab: central, and its sites.
        mariadb: whether each has one of its own.

    Raises:
        Exhausted: there is too little left.
    """
    free = shutil.disk_usage(folder).free >> 20
    needed = tiers * (_TIER_MIB + (_MARIADB_MIB if mariadb else 0))
    if free < needed:
        raise errors.Exhausted(
            f"{folder} has {free} MiB left, and such a lab needs {needed}: free some, or set "
            "ISTHMUS_STATE to a folder on another disk"
        )


def missing_programs(tools: Tools, needed: Mapping[str, str] = PROGRAMS) -> list[str]:
    """List the programs that are not installed."""
    return [name for name in needed if not _installed(tools, name)]


def kernel_lacks(tools: Tools) -> list[str]:
    """Try each kernel feature in a namespace of the probe's own, and list what does not work."""
    netns = f"{_PROBE}-{os.getpid()}"
    lacks = []
    if not Path("/dev/net/tun").exists():
        lacks.append("TUN devices (/dev/net/tun)")
    made = tools.run(["ip", "netns", "add", netns], check=False)
    if made.exit_code != 0:
        return [*lacks, f"network namespaces ({made.stderr.strip()})"]
    try:
        probes = {
            "veth links": ["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"],
            "bridges": ["ip", "link", "add", "b0", "type", "bridge"],
            "nftables": ["nft", "add", "table", "ip", "probe"],
            "policy routing": ["ip", "rule", "add", "priority", "9", "lookup", "9"],
        }
        for feature, command in probes.items():
            done = tools.run(command, netns=netns, check=False)
            if done.exit_code != 0:
                lacks.append(f"{feature} ({done.stderr.strip()[:120]})")
    finally:
        tools.run(["ip", "netns", "delete", netns])
    return lacks


def _installed(tools: Tools, name: str) -> bool:
    return tools.find_program(name) is not None
