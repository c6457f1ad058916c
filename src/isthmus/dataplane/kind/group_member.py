"""The place of shadow ports in port groups, by which rules of security groups admit them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override

from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, RemotePort, choose_wanted
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
    no_read,
)
from isthmus.dataplane.scope import PORTS
from isthmus.model.dataplane.ovn import Capability


@dataclass(frozen=True, slots=True)
class JoinGroup(Change):
    """Put a shadow port into a port group."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.group_member.missing"
    what: ClassVar = "shadow port not in its port group"
    about: ClassVar = PORTS
    group: str
    port_id: str

    @property
    @override
    def subject(self) -> str:
        return f"{self.group} {self.port_id}"

    @property
    @override
    def of(self) -> str:
        return self.port_id

    @override
    def adds(self, standing: Standing) -> bool:
        return self.port_id not in standing.of(SHADOW_PORT).ports

    @override
    def __str__(self) -> str:
        return f"put shadow port {self.port_id} into port group {self.group}"

    @override
    def write(self, tables: Tables) -> None:
        _change_group(tables, "pg_add_ports", self.group, self.port_id)


@dataclass(frozen=True, slots=True)
class LeaveGroup(Change):
    """Take a shadow port out of a port group."""

    phase: ClassVar = Phase.PUT
    code: ClassVar = "ovn.group_member.extra"
    what: ClassVar = "shadow port in a foreign port group"
    about: ClassVar = PORTS
    group: str
    port_id: str

    @property
    @override
    def subject(self) -> str:
        return f"{self.group} {self.port_id}"

    @property
    @override
    def of(self) -> str:
        return self.port_id

    @override
    def __str__(self) -> str:
        return f"take shadow port {self.port_id} out of port group {self.group}"

    @override
    def write(self, tables: Tables) -> None:
        _change_group(tables, "pg_del_ports", self.group, self.port_id)


def _change_group(tables: Tables, command: str, group: str, port_id: str) -> None:
    port = tables.find("Logical_Switch_Port", port_id)
    # ovsdbapp's commands refuse what is gone; here the next comparison decides.
    if port is not None and tables.find("Port_Group", group) is not None:
        tables.run(command, group, port)


def _diff(desired: Desired, observed: Observed, _capability: Capability) -> Iterator[Change]:
    wanted = sorted(choose_wanted(desired, observed).items())
    for port_id, port in wanted:
        for group in sorted(port.groups - _groups_kept(port, observed)):
            yield JoinGroup(group, port_id)
    for port_id, port in wanted:
        for group in sorted(_groups_kept(port, observed) - port.groups):
            yield LeaveGroup(group, port_id)


def _groups_kept(port: RemotePort, observed: Observed) -> frozenset[str]:
    """Return the groups a port is in and stays in; a port that changes switches is made anew."""
    row = observed.of(SHADOW_PORT).ports.get(port.port_id)
    if row is None or row.network_id != port.network_id:
        return frozenset()
    return row.groups


GROUP_MEMBER: Kind[None, None] = Kind(
    name="group_member",
    without="security group rules do not admit the port",
    desired=no_desired,
    read=no_read,
    diff=_diff,
    holdings=no_holdings,
)
