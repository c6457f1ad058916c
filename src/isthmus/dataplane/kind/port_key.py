"""Port keys of the site's own ports on stretched networks: `requested-tnl-key` in Neutron's rows.

Neutron writes them itself (`isthmus.neutron.local.ovn.ovn_client`); the sweep finds what was lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows, read_revision, requested_port_key
from isthmus.dataplane.scope import PORTS, SWITCHES, Scope
from isthmus.model.dataplane.ovn import (
    CHASSIS_OPTION,
    KEY_OPTION,
    SHADOW_MARK,
    SWITCH_PREFIX,
    Capability,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchPort:
    """A port of a stretched network that is not ours, as OVN has it."""

    network_id: str
    type: str
    port_key: int | None  #: what its row asks for
    addresses: frozenset[str] = frozenset()
    revision: int = -1  #: of Neutron's port when the row was written; -1 where it does not say
    requested_chassis: str = ""  #: where Neutron wants it; several by comma while it moves
    dhcp: frozenset[int] = frozenset()  #: IP versions for which OVN answers its DHCP


@dataclass(frozen=True, slots=True)
class SetPortKey(Change):
    """Set the port key that a switch port of Neutron's asks for."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.port_key.differs"
    what: ClassVar = "port without its key"
    about: ClassVar = PORTS
    is_own: ClassVar = True
    port_id: str
    key: int

    @property
    @override
    def subject(self) -> str:
        return self.port_id

    @override
    def adds(self, standing: Standing) -> bool:
        row = standing.of(PORT_KEY).get(self.port_id)
        return row is None or row.port_key is None

    @override
    def __str__(self) -> str:
        return f"set port key {self.key} of port {self.port_id}"

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find("Logical_Switch_Port", self.port_id)
        if row is not None:
            row.setkey("options", KEY_OPTION, str(self.key))


def _desired(source: Source, scope: Scope, _observed: Observed) -> dict[str, int]:
    """Return the keys for a sweep; between sweeps Neutron's own writes carry them."""
    if not scope.whole:
        return {}
    return {port_id: key for port_id, (_, key) in source.port_keys().items()}


def _read(rows: OvnRows, scope: Scope) -> dict[str, SwitchPort]:
    ports = scope.ids(PORTS)
    found = {}
    for port_id in ports or ():
        row = rows.nb.find("Logical_Switch_Port", port_id)
        if row is not None and SHADOW_MARK not in row.external_ids:
            found[port_id] = _read_row(row, "")
    if ports is not None:
        return found
    for network_id in scope.ids(SWITCHES) or ():
        switch = rows.nb.find("Logical_Switch", SWITCH_PREFIX + network_id)
        if switch is None:
            continue
        with rows.nb.lock:
            for port in switch.ports:
                if SHADOW_MARK not in port.external_ids:
                    found[port.name] = _read_row(port, network_id)
    return found


def _read_row(row: Any, network_id: str) -> SwitchPort:
    return SwitchPort(
        network_id=network_id,
        type=row.type,
        port_key=requested_port_key(row),
        addresses=frozenset(row.addresses),
        revision=read_revision(row),
        requested_chassis=row.options.get(CHASSIS_OPTION, ""),
        dhcp=frozenset(
            version
            for version, options in ((4, row.dhcpv4_options), (6, row.dhcpv6_options))
            if options
        ),
    )


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    there = observed.of(PORT_KEY)
    for port_id, key in sorted(desired.of(PORT_KEY).items()):
        if port_id in there and there[port_id].port_key != key:
            yield SetPortKey(port_id, key)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "ports": [
            {
                "id": port_id,
                "network_id": one.network_id,
                "type": one.type,
                "requested_key": one.port_key,
                "addresses": sorted(one.addresses),
                "dhcp": sorted(one.dhcp),
                "requested_chassis": one.requested_chassis,
            }
            for port_id, one in sorted(observed.of(PORT_KEY).items())
        ]
    }


PORT_KEY: Kind[dict[str, int], dict[str, SwitchPort]] = Kind(
    name="port_key",
    without="packets of the port do not reach other sites",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
