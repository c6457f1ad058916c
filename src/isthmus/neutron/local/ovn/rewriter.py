"""Has Neutron rewrite rows of stretched networks that OVN lost, or has in an outdated form.

`isthmus.federation.rewrite` decides; this module reads its input and acts: it sets Neutron's own
revision numbers so that its maintenance worker (`neutron-ovn-maintenance-worker`, which runs every
five minutes) writes the object. Neutron's sync tool would do the same, but refuses to start with
this core plugin.

Reading every port each minute costs a worker half a second of CPU at 20,000 ports. So the database
sums the revisions of each network, and the ports of a network are read only where that sum, or what
OVN has of the network, differs from the last time when everything was right.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.common.ovn import constants as ovn_const
from neutron.db import models_v2
from neutron.db.models import ovn as ovn_models
from neutron.db.models import securitygroup
from neutron_lib import constants
from neutron_lib.db import standard_attr

from isthmus.dataplane.kind.port_key import PORT_KEY
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.row_kind import Observed
from isthmus.federation.rewrite import Rewrites, Written
from isthmus.neutron.local.ovn import desired_rows, dhcp
from isthmus.store.ports import datapath

_NOTES = ovn_models.OVNRevisionNumbers.__table__
_ATTRIBUTES = standard_attr.StandardAttribute.__table__
_PORTS = models_v2.Port.__table__
_SUBNETS = models_v2.Subnet.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__
_BINDINGS = securitygroup.SecurityGroupPortBinding.__table__
_RULES = securitygroup.SecurityGroupRule.__table__

_TABLES: Mapping[str, sa.Table] = {
    ovn_const.TYPE_NETWORKS: models_v2.Network.__table__,
    ovn_const.TYPE_SUBNETS: _SUBNETS,
    ovn_const.TYPE_PORTS: _PORTS,
    ovn_const.TYPE_SECURITY_GROUPS: securitygroup.SecurityGroup.__table__,
    ovn_const.TYPE_SECURITY_GROUP_RULES: _RULES,
}
#: Begins the names of ports that stand for the address of a load balancer.
_LB_PORT = ovn_const.LB_VIP_PORT_PREFIX
#: Ids in one IN (...).
_CHUNK = 500


#: Fingerprint of a network's ports: in Neutron's database, and in OVN.
_Print = tuple[tuple[int, ...], int]


class Known:
    """Fingerprints of networks whose ports were found right; one per process."""

    def __init__(self) -> None:
        """Initialise empty: the first pass reads every port."""
        self._right: dict[str, _Print] = {}
        self.rules: tuple[int, ...] = ()  #: fingerprint of rules of which OVN had lost none

    def find_changed(self, prints: Mapping[str, _Print]) -> set[str]:
        """Return the networks whose fingerprint changed since they were right."""
        return {one for one, seen in prints.items() if self._right.get(one) != seen}

    def record(self, prints: Mapping[str, _Print], wrong: Collection[str]) -> None:
        """Record the fingerprints of all networks but the wrong ones."""
        self._right = {one: seen for one, seen in prints.items() if one not in wrong}


def read_prints(connection: sa.Connection, observed: Observed) -> dict[str, _Print]:
    """Return the fingerprint of each stretched network, without reading each of its ports."""
    noted = sa.and_(
        _NOTES.c.resource_uuid == _PORTS.c.id, _NOTES.c.resource_type == ovn_const.TYPE_PORTS
    )
    revision, note = _ATTRIBUTES.c.revision_number, _NOTES.c.revision_number
    query = (
        sa.select(
            _PORTS.c.network_id,
            sa.func.count(),
            sa.func.sum(_ATTRIBUTES.c.id),
            sa.func.sum(revision),
            # Two ports that swap revisions are seen, too.
            sa.func.sum(_ATTRIBUTES.c.id * revision),
            sa.func.sum(sa.func.coalesce(note, -2) * _ATTRIBUTES.c.id),
        )
        .join_from(_PORTS, _ATTRIBUTES, _ATTRIBUTES.c.id == _PORTS.c.standard_attr_id)
        .outerjoin(_NOTES, noted)
        .where(_PORTS.c.network_id.in_(datapath.select_networks()))
        .group_by(_PORTS.c.network_id)
    )
    seen: dict[str, int] = {}
    for port_id, one in observed.of(PORT_KEY).items():
        mark = hash((port_id, one.type, one.revision, one.addresses, one.dhcp))
        seen[one.network_id] = seen.get(one.network_id, 0) ^ mark
    return {
        row[0]: (tuple(int(value) for value in row[1:]), seen.get(row[0], 0))
        for row in connection.execute(query)
    }


def list_written(
    connection: sa.Connection,
    observed: Observed,
    changed: Collection[str],
    answered: Collection[str],
) -> list[Written]:
    """List Neutron's objects on stretched networks, with what OVN has of them.

    Args:
        connection: of the transaction.
        observed: what OVN has.
        changed: the networks whose ports are to be read.
        answered: the subnets for which OVN has DHCP options.
    """
    networks = set(desired_rows.list_networks(connection))
    without = networks - observed.of(SWITCH_KEY).keys()
    groups = {
        group_id
        for group_id in _list_groups(connection)
        if desired_rows.group_name(group_id) not in observed.of(SHADOW_PORT).groups
    }
    subnets = list(_lost(connection, ovn_const.TYPE_SUBNETS, _SUBNETS.c.network_id, without))
    return [
        *_networks(connection, networks, observed),
        *subnets,
        *_unanswered(connection, dhcp.list_without(connection, answered) - {s.id for s in subnets}),
        *_lost(connection, ovn_const.TYPE_SECURITY_GROUPS, None, groups),
        *_lost(connection, ovn_const.TYPE_SECURITY_GROUP_RULES, _RULES.c.security_group_id, groups),
        *_ports(connection, observed, changed, answered),
    ]


def _networks(
    connection: sa.Connection, networks: Collection[str], observed: Observed
) -> Iterator[Written]:
    for row in _read(connection, ovn_const.TYPE_NETWORKS, None, networks):
        switch = observed.of(SWITCH_KEY).get(row.id)
        yield Written(
            kind=ovn_const.TYPE_NETWORKS,
            id=row.id,
            revision=row.revision,
            noted=row.noted,
            seen=None if switch is None else switch.revision,
        )


def _lost(
    connection: sa.Connection, kind: str, column: "sa.Column[str] | None", ids: Collection[str]
) -> Iterator[Written]:
    """Return the rewrites for objects that were lost with the row they are part of."""
    for row in _read(connection, kind, column, ids):
        yield Written(kind=kind, id=row.id, revision=row.revision, noted=row.noted, seen=None)


def _unanswered(connection: sa.Connection, ids: Collection[str]) -> Iterator[Written]:
    """Return the rewrites for subnets whose DHCP options were lost, as for rows that differ.

    For a subnet that was never written, Neutron has the update of its metadata port write the
    options, and that port is as it should be. Its update of a subnet writes them, and has all ports
    of the subnet refer to them.
    """
    for row in _read(connection, ovn_const.TYPE_SUBNETS, None, ids):
        yield Written(
            kind=ovn_const.TYPE_SUBNETS,
            id=row.id,
            revision=row.revision,
            noted=row.noted,
            seen=row.revision,
            same=False,
        )


def list_rules(connection: sa.Connection, ids: Collection[str]) -> list[Written]:
    """List rules of security groups that OVN lost."""
    return list(_lost(connection, ovn_const.TYPE_SECURITY_GROUP_RULES, None, ids))


def _ports(
    connection: sa.Connection,
    observed: Observed,
    changed: Collection[str],
    answered: Collection[str],
) -> Iterator[Written]:
    wanted = sorted(changed)
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        # Where the subnet's options are lost as well, those come first.
        asked = dhcp.read_asked(connection, chunk, answered)
        yield from _ports_of(connection, observed, chunk, asked)


def _ports_of(
    connection: sa.Connection,
    observed: Observed,
    networks: Collection[str],
    asked: Mapping[str, Collection[int]],
) -> Iterator[Written]:
    addresses: dict[str, set[str]] = {}
    query = sa.select(_ALLOCATIONS.c.port_id, _ALLOCATIONS.c.ip_address).where(
        _ALLOCATIONS.c.network_id.in_(networks)
    )
    for port_id, address in connection.execute(query):
        addresses.setdefault(port_id, set()).add(str(address))
    statement = (
        _select(ovn_const.TYPE_PORTS)
        .add_columns(_PORTS.c.mac_address, _PORTS.c.name)
        .where(_PORTS.c.network_id.in_(networks))
        .where(_PORTS.c.device_owner != constants.DEVICE_OWNER_FLOATINGIP)
    )
    for row in connection.execute(statement):
        there = observed.of(PORT_KEY).get(row.id)
        same = True
        if there is not None and there.type == "":
            said = set(" ".join(there.addresses).split())
            # The address of a load balancer is bound nowhere, and Neutron writes none.
            free = said == {"unknown"} or (row.name or "").startswith(_LB_PORT)
            wanted = {row.mac_address} | addresses.get(row.id, set())
            answers = there.dhcp.issuperset(asked.get(row.id, ()))
            same = (free or wanted <= said) and answers
        yield Written(
            kind=ovn_const.TYPE_PORTS,
            id=row.id,
            revision=row.revision,
            noted=row.noted,
            seen=None if there is None else there.revision,
            same=same,
        )


def list_networks_of(connection: sa.Connection, rewrites: Rewrites) -> set[str]:
    """List the networks of the ports and subnets that are to be rewritten."""
    objects = (*rewrites.forget, *((kind, one) for kind, one, _ in rewrites.lift))
    found: set[str] = set()
    for kind, table in ((ovn_const.TYPE_PORTS, _PORTS), (ovn_const.TYPE_SUBNETS, _SUBNETS)):
        ids = sorted(one for its_kind, one in objects if its_kind == kind)
        for start in range(0, len(ids), _CHUNK):
            chunk = table.c.id.in_(ids[start : start + _CHUNK])
            query = sa.select(table.c.network_id).where(chunk)
            found |= set(connection.scalars(query.distinct()))
    return found


def _list_groups(connection: sa.Connection) -> set[str]:
    query = (
        sa.select(_BINDINGS.c.security_group_id)
        .join(_PORTS, _PORTS.c.id == _BINDINGS.c.port_id)
        .where(_PORTS.c.network_id.in_(datapath.select_networks()))
    )
    return set(connection.scalars(query.distinct()))


def _select(kind: str) -> "sa.Select[Any]":
    table = _TABLES[kind]
    noted = sa.and_(_NOTES.c.resource_uuid == table.c.id, _NOTES.c.resource_type == kind)
    return (
        sa.select(
            table.c.id,
            _ATTRIBUTES.c.revision_number.label("revision"),
            _NOTES.c.revision_number.label("noted"),
        )
        .join_from(table, _ATTRIBUTES, _ATTRIBUTES.c.id == table.c.standard_attr_id)
        .outerjoin(_NOTES, noted)
    )


def _read(
    connection: sa.Connection, kind: str, column: "sa.Column[str] | None", ids: Collection[str]
) -> Iterator[Any]:
    wanted = sorted(ids)
    chosen = _TABLES[kind].c.id if column is None else column
    for start in range(0, len(wanted), _CHUNK):
        query = _select(kind).where(chosen.in_(wanted[start : start + _CHUNK]))
        yield from connection.execute(query)


def apply(connection: sa.Connection, rewrites: Rewrites) -> None:
    """Reset Neutron's revision numbers so that its maintenance worker rewrites objects."""
    for kind, object_id in rewrites.forget:
        noted = sa.and_(_NOTES.c.resource_uuid == object_id, _NOTES.c.resource_type == kind)
        values = {"revision_number": ovn_const.INITIAL_REV_NUM}
        if not connection.execute(sa.update(_NOTES).where(noted).values(values)).rowcount:
            connection.execute(
                sa.insert(_NOTES).values(
                    **values,
                    resource_uuid=object_id,
                    resource_type=kind,
                    standard_attr_id=_attribute(kind, object_id),
                )
            )
    for kind, object_id, revision in rewrites.lift:
        connection.execute(
            sa.update(_ATTRIBUTES)
            .where(
                _ATTRIBUTES.c.id == _attribute(kind, object_id),
                _ATTRIBUTES.c.revision_number < revision,
            )
            .values(revision_number=revision)
        )


def _attribute(kind: str, object_id: str) -> "sa.ScalarSelect[int]":
    table = _TABLES[kind]
    return sa.select(table.c.standard_attr_id).where(table.c.id == object_id).scalar_subquery()
