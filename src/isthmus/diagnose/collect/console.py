"""What guests have said on their consoles of where they looked for keys and names.

Nova's driver leaves the console log of an instance on its hypervisor, and the id of the instance in
the row of its interface.
"""

import re
from collections.abc import Iterator, Sequence

from isthmus import errors
from isthmus.diagnose.collect.protocols import Hypervisor
from isthmus.diagnose.world import Row
from isthmus.facts.ovsdb import Select

#: Where instances are, from a package and in Kolla's volume.
_FOLDERS = ("/var/lib/nova/instances", "/var/lib/docker/volumes/nova_compute/_data/instances")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: How cloud-init, and CirrOS, say that nobody has answered.
_SAID = re.compile(
    r"used fallback datasource|no instance datasource found|datasource datasourcenone|"
    r"failed to read iid from metadata",
    re.IGNORECASE,
)
_MOST = 50


def list_consoles(found: Hypervisor, own: Sequence[str] | None) -> Iterator[Row]:
    """Yield, of each port whose guest has found no source, how often it has said so.

    Args:
        found: the way in to the hypervisor.
        own: ports that live there; None: all, of which some are read.
    """
    (rows,) = found.select([Select("Interface", columns=("external_ids",))])
    ids = [row.get("external_ids") or {} for row in rows]
    guests = [
        (str(one["iface-id"]), str(one["vm-uuid"])) for one in ids
        if _UUID.fullmatch(str(one.get("vm-uuid"))) and "iface-id" in one
        and (own is None or one["iface-id"] in own)
    ]  # fmt: skip
    for port, server in guests[:_MOST]:
        said = [line for line in _read(found, server).splitlines() if _SAID.search(line)]
        if said:
            yield {"port": port, "count": len(said), "last": said[-1].strip()}


def _read(found: Hypervisor, server: str) -> str:
    for folder in _FOLDERS:
        try:
            return found.read_file(f"{folder}/{server}/console.log")
        except errors.NotFound:
            continue
    return ""
