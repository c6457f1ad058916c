"""The outbox: every change of a transaction becomes intents for the sites it concerns.

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
from sqlalchemy.orm import Session

from isthmus.model.intent import IntentKey, ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central import closure, origin
from isthmus.neutron.central.change import Changes, note
from isthmus.neutron.central.route import route
from isthmus.store import journal, lanes, location, routing

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
        said = origin.current()
        if said is not None:
            lanes.admit(connection, said.site, said.sequence)
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
    kind = ResourceType.SUBNET
    _resolve_networks(connection, changes)
    networks = changes.networks | {one for one in changes.subnets.values() if one}
    present = routing.list_sites(connection, ResourceType.NETWORK, networks, latest=True)
    held = routing.list_sites(connection, kind, changes.subnets)
    keys = {
        IntentKey(site, ResourceType.NETWORK, network_id)
        for network_id in changes.networks
        for site in present.get(network_id, {})
    }
    for subnet_id, network_id in changes.subnets.items():
        sites = set(held.get(subnet_id, {}))
        if subnet_id not in changes.gone_subnets:
            for site, withdrawn in present.get(network_id, {}).items():
                if site not in sites and not withdrawn:
                    route(connection, kind, [subnet_id], site)
                    sites.add(site)
        keys |= {IntentKey(site, kind, subnet_id) for site in sites}
    return keys


def _groups(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Groups go where they are routed, and take along what their rules name."""
    if not (changes.security_groups or changes.address_groups):
        return set()
    at = routing.list_sites(connection, ResourceType.SECURITY_GROUP, changes.security_groups)
    keys = {
        IntentKey(site, ResourceType.SECURITY_GROUP, group_id)
        for group_id, sites in at.items()
        for site in sites
    }
    for group_id, sites in at.items():
        for site in sites:
            keys |= route_groups(connection, [group_id], site)
    at = routing.list_sites(connection, ResourceType.ADDRESS_GROUP, changes.address_groups)
    return keys | {
        IntentKey(site, ResourceType.ADDRESS_GROUP, group_id)
        for group_id, sites in at.items()
        for site in sites
    }


def route_groups(
    connection: sa.Connection, group_ids: Iterable[str], site: SiteName
) -> set[IntentKey]:
    """Route security groups and all that their rules name to a site.

    Returns:
        What the site does not have yet.
    """
    keys: set[IntentKey] = set()
    groups, address_groups = closure.close(connection, group_ids)
    for kind, ids in (
        (ResourceType.ADDRESS_GROUP, address_groups),
        (ResourceType.SECURITY_GROUP, groups),
    ):
        missing = ids - routing.list_ids(connection, kind, site, ids)
        if missing:
            route(connection, kind, missing, site)
            keys |= {IntentKey(site, kind, one) for one in missing}
    return keys


def _ports(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """A port goes to its home, its shadow to every other site where the network is present."""
    kind = ResourceType.PORT
    gone = changes.gone_ports
    said = origin.current()
    if said is not None and said.port_id in changes.new_ports:
        route(connection, kind, [said.port_id], said.site)
    homes = routing.list_sites(connection, kind, changes.ports | gone)
    keys: set[IntentKey] = set()
    for port_id, sites in homes.items():
        for site in sites:
            if not _said_by(site, port_id):
                keys.add(IntentKey(site, kind, port_id))
            elif port_id in gone:
                routing.delete(connection, kind, port_id, site)
            if port_id in changes.regrouped and port_id not in gone:
                keys |= route_groups(connection, _groups_of(connection, port_id), site)
    placed = location.list_locations(connection, changes.shadowed | gone)
    present = routing.list_sites(
        connection,
        ResourceType.NETWORK,
        {one.network_id for one in placed.values()},
        latest=True,
    )
    for port_id, place in placed.items():
        for site, withdrawn in present.get(place.network_id, {}).items():
            if site != place.site and not withdrawn:
                keys.add(IntentKey(site, ResourceType.SHADOW, port_id))
    location.delete(connection, gone & placed.keys())
    return keys


def _said_by(site: SiteName, port_id: str) -> bool:
    said = origin.current()
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
    """Find the objects whose description changed, which stands in a table of its own."""
    for table, attribute_id in changes.described:
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
