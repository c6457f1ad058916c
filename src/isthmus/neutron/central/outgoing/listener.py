"""The listener: every change of a transaction becomes intents for the sites it concerns.

The unit of work is watched flush by flush; just before the commit, and in the same transaction, the
sites are looked up and the intents written, each once. A transaction that fails leaves nothing; one
that commits has its intents, whatever happens to the process next. Savepoints that are rolled back
may leave an intent too many, which costs one look at an object that has not changed.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import address_group, securitygroup
from neutron_lib.db import api as db_api
from neutron_lib.db import standard_attr
from sqlalchemy.orm import Session

from isthmus import errors
from isthmus.model.intent import IntentKey, ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central import reporting
from isthmus.neutron.central.outgoing import group_closure
from isthmus.neutron.central.outgoing.change import Changes, note
from isthmus.neutron.db.session import now
from isthmus.store.delivery import journal
from isthmus.store.ports import home, location
from isthmus.store.tiers.held import Held

_KEY = "isthmus_changes"


def listen() -> None:
    """Start to watch every session of this process."""
    db_api.sqla_listen(Session, "before_flush", _before_flush)
    db_api.sqla_listen(Session, "before_commit", _before_commit)
    db_api.sqla_listen(Session, "after_rollback", _after_rollback)


def _before_flush(session: Session, _context: Any, _instances: Any) -> None:
    changes = session.info.get(_KEY)
    if changes is None:
        changes = session.info[_KEY] = Changes()
    note(changes, session)


def _before_commit(session: Session) -> None:
    transaction = session.get_transaction()
    if transaction is not None and transaction.nested:
        return  # a savepoint: the commit proper is still to come
    if session.new or session.dirty or session.deleted:
        session.flush()
    changes = session.info.pop(_KEY, None)
    if changes:
        connection = session.connection()
        record(connection, changes)


def _after_rollback(session: Session) -> None:
    session.info.pop(_KEY, None)


def record(connection: sa.Connection, changes: Changes) -> None:
    """Write the intents of a transaction."""
    _resolve_descriptions(connection, changes)
    keys = _layer_two(connection, changes)
    keys |= _groups(connection, changes)
    keys |= _ports(connection, changes)
    journal.record(connection, keys)


def _layer_two(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Networks and subnets go where the network is present, and where they have been."""
    _resolve_networks(connection, changes)
    if not (changes.networks or changes.subnets):
        return set()
    present = Held(
        connection,
        ResourceType.NETWORK,
        changes.networks | {one for one in changes.subnets.values() if one},
    )
    keys = {
        IntentKey(site, ResourceType.NETWORK, network_id)
        for network_id in changes.networks
        for site in present.sites(network_id)
    }
    if changes.subnets:
        keys |= _subnets(connection, changes, present)
    return keys


def _subnets(connection: sa.Connection, changes: Changes, present: Held) -> set[IntentKey]:
    held = Held(connection, ResourceType.SUBNET, changes.subnets, alone=True)
    for subnet_id, network_id in changes.subnets.items():
        if subnet_id in changes.gone_subnets:
            continue
        for site, withdrawn in present.sites(network_id).items():
            if not withdrawn and site not in held.sites(subnet_id):
                held.map_to(site, [subnet_id], now=now())
    return {
        IntentKey(site, ResourceType.SUBNET, subnet_id)
        for subnet_id in changes.subnets
        for site in held.sites(subnet_id)
    }


def _groups(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Groups go where they are mapped, and take along what their rules name."""
    keys: set[IntentKey] = set()
    for kind, ids in (
        (ResourceType.SECURITY_GROUP, changes.security_groups),
        (ResourceType.ADDRESS_GROUP, changes.address_groups),
    ):
        if not ids:
            continue
        held = Held(connection, kind, ids)
        for group_id in ids:
            for site in held.sites(group_id):
                keys.add(IntentKey(site, kind, group_id))
                if kind is ResourceType.SECURITY_GROUP:
                    keys |= map_groups(connection, [group_id], site)
    return keys


def map_groups(
    connection: sa.Connection, group_ids: Iterable[str], site: SiteName
) -> set[IntentKey]:
    """Map security groups and all that their rules name to a site.

    Level by level: the rules of a group are read once the group is held, so that a rule which is
    added meanwhile is seen either here or, by its own transaction, to concern the site.

    Returns:
        What the site does not have yet.
    """
    keys: set[IntentKey] = set()
    address_groups: set[str] = set()
    known: set[str] = set()
    fresh = set(group_ids)
    while fresh:
        keys |= _map_missing(connection, ResourceType.SECURITY_GROUP, fresh, site)
        known |= fresh
        named, addresses = group_closure.step(connection, fresh)
        address_groups |= addresses
        fresh = named - known
    return keys | _map_missing(connection, ResourceType.ADDRESS_GROUP, address_groups, site)


def _map_missing(
    connection: sa.Connection, kind: ResourceType, ids: set[str], site: SiteName
) -> set[IntentKey]:
    """Map what is not at a site; only that is held alone, and what is there is not."""
    missing = ids - Held(connection, kind, ids).at(site)
    if not missing:
        return set()
    Held(connection, kind, missing, alone=True).map_to(site, now=now())
    return {IntentKey(site, kind, one) for one in missing}


def _ports(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """A port goes to its home, its shadow to every other site where the network is present."""
    kind = ResourceType.PORT
    gone = changes.gone_ports
    said = reporting.current()
    keys: set[IntentKey] = set()
    if said is not None and said.port_id in changes.new_ports:
        _give_home(connection, said)
        keys |= map_groups(connection, _groups_of(connection, said.port_id), said.site)
    # Nobody else can have mapped a port that this transaction makes.
    old = (changes.ports | changes.shadowed | gone) - changes.new_ports
    homes = Held(connection, kind, old)
    if said is not None and said.port_id in old:
        _check_home(homes, said)
    for port_id in (changes.ports | gone) - changes.new_ports:
        for site in homes.sites(port_id):
            if not _said_by(site, port_id):
                keys.add(IntentKey(site, kind, port_id))
            elif port_id in gone:
                home.delete(connection, port_id, site)
            if port_id in changes.regrouped and port_id not in gone:
                keys |= map_groups(connection, _groups_of(connection, port_id), site)
    return keys | _shadows(connection, (changes.shadowed | gone) - changes.new_ports, gone)


def _shadows(connection: sa.Connection, port_ids: set[str], gone: set[str]) -> set[IntentKey]:
    """Tell the sites that hold the shadows of ports; a new one has none before it is located."""
    locations = location.list_locations(connection, port_ids)
    if not locations:
        return set()
    present = Held(connection, ResourceType.NETWORK, {one.network_id for one in locations.values()})
    location.delete(connection, gone & locations.keys())
    return {
        IntentKey(site, ResourceType.SHADOW, port_id)
        for port_id, located in locations.items()
        for site, withdrawn in present.sites(located.network_id).items()
        if site != located.site and not withdrawn
    }


def _give_home(connection: sa.Connection, said: reporting.CurrentReport) -> None:
    """Give a port that was born at a site its home, in the transaction that makes it.

    Raises:
        Stale: the network has been withdrawn from the site in the meantime; look again.
    """
    port = models_v2.Port
    row = connection.execute(
        sa.select(port.project_id, port.network_id).where(port.id == said.port_id)
    ).one()
    network = Held(connection, ResourceType.NETWORK, [row.network_id])
    if network.sites(row.network_id).get(said.site) is not False:
        raise errors.Stale(f"network {row.network_id} is being withdrawn from site {said.site}")
    home.settle(connection, said.port_id, said.site, project_id=row.project_id, now=now())


def _check_home(homes: Held, said: reporting.CurrentReport) -> None:
    """Let a report change a port only while its site is the port's home.

    Raises:
        Conflict: the home has moved since the report was looked at.
    """
    sites = homes.sites(said.port_id)
    if said.site not in sites:
        raise errors.Conflict(
            f"port {said.port_id} does not live at site {said.site}", site=next(iter(sites), None)
        )


def _said_by(site: SiteName, port_id: str) -> bool:
    said = reporting.current()
    return said is not None and said.site == site and said.port_id == port_id


def _groups_of(connection: sa.Connection, port_id: str) -> list[str]:
    binding = securitygroup.SecurityGroupPortBinding
    return list(
        connection.execute(
            sa.select(binding.security_group_id).where(binding.port_id == port_id)
        ).scalars()
    )


def _resolve_networks(connection: sa.Connection, changes: Changes) -> None:
    """Find the networks of subnets of which only a part was seen."""
    unknown = [subnet_id for subnet_id, network_id in changes.subnets.items() if not network_id]
    if not unknown:
        return
    subnet = models_v2.Subnet
    for subnet_id, network_id in connection.execute(
        sa.select(subnet.id, subnet.network_id).where(subnet.id.in_(unknown))
    ):
        changes.subnets[subnet_id] = network_id


def _resolve_descriptions(connection: sa.Connection, changes: Changes) -> None:
    """Find the objects whose description or tags changed, which stand in tables of their own."""
    attribute = standard_attr.StandardAttribute
    tagged = (
        connection.execute(
            sa.select(attribute.resource_type, attribute.id).where(attribute.id.in_(changes.tagged))
        ).all()
        if changes.tagged
        else ()
    )
    for table, attribute_id in {*changes.described, *map(tuple, tagged)}:
        model = _DESCRIBED.get(table)
        if model is None:
            continue
        found = connection.execute(
            sa.select(model.id).where(model.standard_attr_id == attribute_id)
        ).scalar()
        if found is not None:
            _note_described(changes, table, found)


def _note_described(changes: Changes, table: str, resource_id: str) -> None:
    if table == models_v2.Subnet.__tablename__:
        changes.subnets.setdefault(resource_id, "")
    else:
        _SETS[table](changes).add(resource_id)


_DESCRIBED: dict[str, Any] = {
    model.__tablename__: model
    for model in (
        models_v2.Network,
        models_v2.Subnet,
        models_v2.Port,
        securitygroup.SecurityGroup,
        address_group.AddressGroup,
    )
}
_SETS: dict[str, Any] = {
    models_v2.Network.__tablename__: lambda changes: changes.networks,
    models_v2.Port.__tablename__: lambda changes: changes.ports,
    securitygroup.SecurityGroup.__tablename__: lambda changes: changes.security_groups,
    address_group.AddressGroup.__tablename__: lambda changes: changes.address_groups,
}
