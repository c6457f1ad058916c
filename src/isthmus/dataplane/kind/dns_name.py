"""Names of ports of other sites: what OVN answers to DNS requests of this site's servers.

ML2/OVN writes the names of a site's own ports into one row a network, which is left alone; a switch
may have several. Here each named port of another site has a row, with the records that ML2/OVN
writes for the port at its home.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.protocols import Source, Tables
from isthmus.dataplane.row_kind import Change, Desired, Kind, Observed, Parts, Phase, Standing
from isthmus.dataplane.rows import OvnRows
from isthmus.dataplane.scope import PORTS, Scope
from isthmus.model.dataplane.ovn import PORT_MARK, SHADOW_MARK, SWITCH_PREFIX, Capability
from isthmus.model.dataplane.shadow import Shadow

_TABLE, _COLUMN = "DNS", "dns_records"


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsNames:
    """What is answered of one port."""

    port_id: str
    network_id: str
    records: Mapping[str, str]  #: name or reverse name: addresses, or a name
    intact: bool = True  #: observed: there is one such row, and the switch has it


@dataclass(frozen=True, slots=True)
class PutDnsNames(Change):
    """Write what is answered of a port."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.dns_name.differs"
    what: ClassVar = "names of a port missing or different"
    about: ClassVar = PORTS
    row: DnsNames

    @property
    @override
    def subject(self) -> str:
        return self.row.port_id

    @override
    def adds(self, standing: Standing) -> bool:
        return self.row.port_id not in standing.of(DNS_NAME)

    @override
    def __str__(self) -> str:
        one = self.row
        return f"put names {', '.join(sorted(one.records))} of port {one.port_id}"

    @override
    def write(self, tables: Tables) -> None:
        switch = tables.find("Logical_Switch", SWITCH_PREFIX + self.row.network_id)
        if switch is None:
            return
        marks = _mark(self.row.network_id, self.row.port_id)
        row = tables.find(_TABLE, marks, "external_ids")
        if row is None:
            row = tables.insert(_TABLE)
        row.external_ids = marks
        row.records = dict(self.row.records)
        switch.addvalue(_COLUMN, row)


@dataclass(frozen=True, slots=True)
class RemoveDnsNames(Change):
    """Remove what is answered of a port."""

    phase: ClassVar = Phase.REMOVE
    code: ClassVar = "ovn.dns_name.extra"
    what: ClassVar = "names of a port too many"
    about: ClassVar = PORTS
    network_id: str
    port_id: str

    @property
    @override
    def subject(self) -> str:
        return self.port_id

    @override
    def __str__(self) -> str:
        return f"remove names of port {self.port_id} of network {self.network_id}"

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find(_TABLE, _mark(self.network_id, self.port_id), "external_ids")
        if row is not None:
            row.delete()  # a switch refers to it weakly


def _mark(network_id: str, port_id: str) -> dict[str, str]:
    return {SHADOW_MARK: network_id, PORT_MARK: port_id}


def render_names(shadow: Shadow) -> DnsNames:
    """Return the records of a port, as ML2/OVN writes them: the first name answers for addresses.

    Source: `OVNClient.get_port_dns_records`.
    """
    addresses = " ".join(shadow.addresses)
    records = dict.fromkeys(shadow.names, addresses)
    for one in shadow.addresses:
        records[ipaddress.ip_address(one).reverse_pointer] = shadow.names[0]
    return DnsNames(port_id=shadow.port_id, network_id=shadow.network_id, records=records)


def _desired(source: Source, scope: Scope, _observed: Observed) -> dict[str, DnsNames]:
    networks = source.networks()
    return {
        one.port_id: render_names(one)
        for one in source.shadows(scope.ids(PORTS))
        if one.network_id in networks and one.names and one.addresses
    }


def _read(rows: OvnRows, scope: Scope) -> dict[str, DnsNames]:
    ids = scope.ids(PORTS)
    if ids is not None and not ids:
        return {}
    found: dict[str, DnsNames] = {}
    for row in rows.nb.rows(_TABLE):
        port_id = row.external_ids.get(PORT_MARK)
        if SHADOW_MARK not in row.external_ids or (ids is not None and port_id not in ids):
            continue
        network_id = row.external_ids[SHADOW_MARK]
        found[port_id] = DnsNames(
            port_id=port_id,
            network_id=network_id,
            records=dict(row.records),
            intact=port_id not in found and _is_on_switch(rows, network_id, row),
        )
    return found


def _is_on_switch(rows: OvnRows, network_id: str, row: Any) -> bool:
    switch = rows.nb.find("Logical_Switch", SWITCH_PREFIX + network_id)
    return switch is not None and row in switch.dns_records


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    switches, there = observed.of(SWITCH_KEY), observed.of(DNS_NAME)
    wanted = {
        port_id: row for port_id, row in desired.of(DNS_NAME).items() if row.network_id in switches
    }
    for port_id, row in sorted(wanted.items()):
        if there.get(port_id) != row:
            yield PutDnsNames(row)
    for port_id, row in sorted(there.items()):
        if port_id not in wanted:
            yield RemoveDnsNames(row.network_id, port_id)


def _list_holdings(observed: Observed) -> Parts:
    return {
        "dns_names": [
            {"port_id": port_id, "network_id": one.network_id, "names": sorted(one.records)}
            for port_id, one in sorted(observed.of(DNS_NAME).items())
        ]
    }


DNS_NAME: Kind[dict[str, DnsNames], dict[str, DnsNames]] = Kind(
    name="dns_name",
    without="servers at this site do not find the port by its name",
    desired=_desired,
    read=_read,
    diff=_diff,
    holdings=_list_holdings,
)
