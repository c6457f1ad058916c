"""Bindings of shadow ports: on which hypervisor SB has them.

northd writes them itself from 23.09 on; for older ones it is ours to do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, choose_wanted
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import (
    Change,
    Desired,
    Kind,
    Observed,
    Phase,
    Standing,
    no_desired,
    no_holdings,
)
from isthmus.dataplane.rows import OvnRows, read_binding
from isthmus.dataplane.scope import PORTS, Scope
from isthmus.model.dataplane.ovn import Binding, Capability


@dataclass(frozen=True, slots=True)
class Bind(Change):
    """Bind a shadow port to its hypervisor; on a fabric that the sites share, to none."""

    phase: ClassVar = Phase.AFTER
    code: ClassVar = "ovn.binding.differs"
    what: ClassVar = "shadow port not bound"
    about: ClassVar = PORTS
    port_id: str
    chassis: str

    @property
    @override
    def subject(self) -> str:
        return self.port_id

    @override
    def adds(self, standing: Standing) -> bool:
        row = standing.of(SHADOW_PORT).ports.get(self.port_id)
        there = standing.of(BINDING).get(self.port_id)
        unbound = there is None or not there.chassis
        return unbound and (row is None or row.chassis == self.chassis)

    @override
    def __str__(self) -> str:
        if not self.chassis:
            return f"unbind shadow port {self.port_id}, which is on the fabric"
        return f"bind shadow port {self.port_id} to chassis {self.chassis}"

    @override
    def write(self, tables: Tables) -> None:
        row = tables.find("Port_Binding", self.port_id, "logical_port")
        where = tables.find("Chassis", self.chassis) if self.chassis else None
        if row is not None and row.type == "remote" and (where is not None or not self.chassis):
            row.chassis = [where] if where is not None else []


def _read(rows: OvnRows, scope: Scope) -> dict[str, Binding]:
    ids = scope.ids(PORTS)
    if ids is None:
        return {row.logical_port: read_binding(row) for row in rows.sb.rows("Port_Binding")}
    found = {port_id: rows.find_binding(port_id) for port_id in ids}
    return {port_id: one for port_id, one in found.items() if one is not None}


def _diff(desired: Desired, observed: Observed, capability: Capability) -> Iterator[Change]:
    """Bind the ports that northd has seen; the others are bound when their rows appear."""
    if capability.binds_remote:
        return
    there = observed.of(BINDING)
    for port_id, port in sorted(choose_wanted(desired, observed).items()):
        if port_id in there and there[port_id].chassis != port.chassis:
            yield Bind(port_id, port.chassis)


BINDING: Kind[None, dict[str, Binding]] = Kind(
    name="binding",
    without="the port cannot be reached from this site",
    desired=no_desired,
    read=_read,
    diff=_diff,
    holdings=no_holdings,
)
