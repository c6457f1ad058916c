"""Both OVN databases of one site, and what others than the row kinds read in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from isthmus.dataplane.protocols import Database
from isthmus.model.dataplane.ovn import (
    KEY_OPTION,
    REMOTE_FLAG,
    REVISION,
    SHADOW_MARK,
    SWITCH_PREFIX,
    Binding,
    LocalChassis,
)

#: Highest tunnel keys of a port and of a switch (Source: OVN_MAX_DP_PORT_KEY and OVN_MAX_DP_KEY in
#: lib/ovn-util.h).
_MOST_PORT_KEY = (1 << 15) - 1
_MOST_SWITCH_KEY = (1 << 24) - 1
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class OvnRows:
    """Northbound and southbound."""

    nb: Database
    sb: Database

    def northd_version(self) -> str:
        """Return northd's version; "" before it ever ran."""
        for row in self.nb.rows("NB_Global"):
            return str(row.options.get("northd_internal_version", ""))
        return ""

    def local_chassis(self) -> dict[str, LocalChassis]:
        """Return the hypervisors of this site by name."""
        return {
            row.name: read_local(row)
            for row in self.sb.rows("Chassis")
            if SHADOW_MARK not in row.external_ids
        }

    def find_host(self, hostname: str) -> LocalChassis | None:
        """Find a hypervisor of this site by the name that Nova gives it."""
        for row in self.sb.rows("Chassis"):
            if row.hostname == hostname and not is_remote(row):
                return read_local(row)
        return None

    def find_binding(self, port_id: str) -> Binding | None:
        """Find what SB says of a port."""
        row = self.sb.find("Port_Binding", port_id, "logical_port")
        return None if row is None else read_binding(row)

    def datapath_keys(self, networks: Iterable[str]) -> dict[str, int]:
        """Return the tunnel keys that northd has given to the networks' switches, by network."""
        wanted = {SWITCH_PREFIX + network_id: network_id for network_id in networks}
        found = {}
        for row in self.sb.rows("Datapath_Binding"):
            network_id = wanted.get(row.external_ids.get("name", ""))
            if network_id is not None:
                found[network_id] = int(row.tunnel_key)
        return found


def _to_number(text: str) -> int | None:
    """Read a number that OVN keeps as text, in which anybody may have written anything."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS else None


def requested_port_key(row: Any) -> int | None:
    """Return the tunnel key that a port's row asks for; None where it can have none such."""
    return _read_key(row.options, _MOST_PORT_KEY)


def requested_switch_key(row: Any) -> int | None:
    """Return the tunnel key that a switch's row asks for; None where it can have none such."""
    return _read_key(row.other_config, _MOST_SWITCH_KEY)


def _read_key(column: Any, most: int) -> int | None:
    key = _to_number(column.get(KEY_OPTION, ""))
    return key if key is not None and key <= most else None


def read_revision(row: Any) -> int:
    """Return the revision of Neutron's object when the row was written; -1 where it says none."""
    revision = _to_number(row.external_ids.get(REVISION, ""))
    return -1 if revision is None else revision


def read_binding(row: Any) -> Binding:
    """Read a row of Port_Binding."""
    return Binding(
        tunnel_key=int(row.tunnel_key), chassis=row.chassis[0].name if row.chassis else ""
    )


def is_remote(row: Any) -> bool:
    """Tell whether a Chassis row is flagged as one of another site."""
    return bool(row.other_config.get(REMOTE_FLAG) == "true")


def read_local(row: Any) -> LocalChassis:
    """Read the Chassis row of a hypervisor of this site."""
    encaps = sorted(row.encaps, key=lambda encap: encap.type != "geneve")
    return LocalChassis(
        name=row.name, hostname=row.hostname, encap_ips=tuple(encap.ip for encap in encaps)
    )
