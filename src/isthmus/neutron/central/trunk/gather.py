"""Brings a trunk's ports together: subports come to the site where the parent port is at home.

A parent that a site asks for brings its subports, each as if the site had asked for it. A trunk
that is made at central on a port which has a home, and a subport that is added to it, bring those
that have no home yet, in the very transaction; the site is told by intents. A subport that is at
home at another site comes from there if it is in no use: its home is asked to release it, and once
that is acknowledged the trunk is delivered again, before which the subport gets its new home
(`bring_released`). One that is in use is refused, by name.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import context as n_context
from neutron_lib.plugins import directory
from oslo_log import log as logging

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.central import home, presence
from isthmus.neutron.central.outgoing import along
from isthmus.neutron.central.presence import Brought
from isthmus.neutron.central.trunk import place
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import journal
from isthmus.store.tiers import mapping
from isthmus.store.tiers import site as site_store
from isthmus.store.tiers.locked import LockedObjects

LOG = logging.getLogger(__name__)

_PORT, _TRUNK = ResourceType.PORT, ResourceType.TRUNK
_PORTS = models_v2.Port.__table__


def bring_with_trunks(
    context: Any, site: Site, ports: Sequence[Mapping[str, Any]], project_id: str | None
) -> Brought:
    """Bring ports that a site asked for, and with a trunk's parent its subports.

    Args:
        context: an administrator's.
        site: the site.
        ports: the ports, as the requesting user sees them.
        project_id: that user's project; None where the site asks for itself.
    """
    of = _peek_trunks(context, ports)
    plain = [one for one in ports if one["id"] not in of]
    brought = [_bring(context, site, plain, project_id)] if plain else []
    brought += [
        _bring_parent(context, site, one, of[one["id"]], project_id)
        for one in ports
        if one["id"] in of
    ]
    done = _join(brought)
    # One that has got a trunk, or its trunk a subport, since they were read.
    late = {one for one, error in done.refused if isinstance(error, errors.Stale)}
    again = [one for one in ports if one["id"] in late]
    if not again or _peek_trunks(context, again) == {one: of[one] for one in late if one in of}:
        return done
    refused = [one for one in done.refused if one[0] not in late]
    return _join([Brought(done.ids, refused), bring_with_trunks(context, site, again, project_id)])


def _peek_trunks(context: Any, ports: Sequence[Mapping[str, Any]]) -> dict[str, place.PlacedTrunk]:
    """Read the trunks of parents, by the ids of those."""
    with reading(context) as connection:
        found = place.peek_of_parents(connection, [one["id"] for one in ports])
    return {trunk.parent_id: trunk for trunk in found}


def _join(brought: Sequence[Brought]) -> Brought:
    ids: dict[ResourceType, set[str]] = {}
    for each in brought:
        for kind, some in each.ids.items():
            ids.setdefault(kind, set()).update(some)
    return Brought(ids, [refusal for each in brought for refusal in each.refused])


def _bring_parent(
    context: Any,
    site: Site,
    parent: Mapping[str, Any],
    trunk: place.PlacedTrunk,
    project_id: str | None,
) -> Brought:
    """Bring a parent after its subports: it is at no site without them.

    One that another site has to release first is asked for before them, or they would move alone;
    and it is not where one of them could never follow.
    """
    admin = n_context.get_admin_context()
    subports = directory.get_plugin().get_ports(admin, {"id": list(trunk.subport_ids)})
    subports = subports if trunk.subport_ids else []
    with reading(context) as connection:
        lives_at = mapping.find_home(connection, parent["id"])
    if lives_at not in (None, site.name):
        for one in subports:
            try:
                presence.get_allowed(site, one["network_id"])
            except errors.Refused as refusal:
                return _stay(parent, trunk, one["id"], refusal)
        asked = _bring(context, site, [parent], project_id)
        if asked.refused:
            return asked
    inner = _bring(context, site, subports, project_id)
    for port_id, error in inner.refused:
        return _stay(parent, trunk, port_id, error)
    return _join([inner, _bring(context, site, [parent], project_id)])


def _stay(
    parent: Mapping[str, Any], trunk: place.PlacedTrunk, port_id: str, error: errors.IsthmusError
) -> Brought:
    why = f"subport {port_id} of trunk {trunk.id} cannot come along: {error.message}"
    return Brought({}, [(parent["id"], type(error)(why))])


def _bring(
    context: Any, site: Site, ports: Sequence[Mapping[str, Any]], project_id: str | None
) -> Brought:
    named = [(one["network_id"], one) for one in ports]
    return presence.bring(context, site, named, project_id, ports=True)


def gather(connection: sa.Connection, trunk_ids: Collection[str]) -> set[IntentKey]:
    """Map trunks to the homes of their parents, and give subports that have none that home.

    Args:
        connection: of the transaction that makes the trunks, or adds subports to them.
        trunk_ids: the trunks.

    Returns:
        Whom to tell.

    Raises:
        Conflict: a subport is at home at another site, and in use there, or that site cannot be
            reached; or its network cannot be at that site.
        Unsupported: its network is of a type that cannot be stretched.
        Busy: central was restored and has not recovered.
    """
    trunks = place.list_trunks(connection, trunk_ids)
    homes = LockedObjects(connection, _PORT, [trunk.parent_id for trunk in trunks])
    keys: set[IntentKey] = set()
    for trunk in trunks:
        for site, leaving in homes.sites(trunk.parent_id).items():
            if not leaving:
                keys |= _gather_at(connection, trunk, site)
                keys |= along.bring(connection, {_TRUNK: [trunk.id]}, [site])
    return keys


def stay(connection: sa.Connection, site: SiteName, port_id: str) -> set[IntentKey]:
    """Have a port that stays at its home keep its trunk there, and that its subports.

    Args:
        connection: of the transaction, which has locked the port.
        site: its home, which was asked to release it and has bound it meanwhile.
        port_id: the port, a parent or not.

    Returns:
        Whom to tell.

    Raises:
        Busy: central was restored and has not recovered.
    """
    keys: set[IntentKey] = set()
    for trunk in place.list_of_parent(connection, port_id):
        keys |= place.keep(connection, site, trunk)
        try:
            keys |= _gather_at(connection, trunk, site)
        except errors.Refused as error:  # the job of the trunk names what is missing
            LOG.warning("Trunk %s lacks subports at site %s: %s", trunk.id, site, error.message)
        keys |= along.bring(connection, {_TRUNK: [trunk.id]}, [site])
    return keys


def _gather_at(
    connection: sa.Connection, trunk: place.PlacedTrunk, site: SiteName
) -> set[IntentKey]:
    """Give the subports of a trunk that have no home the home of the parent."""
    homes = mapping.list_sites(connection, _PORT, trunk.subport_ids)
    away = {one for one in trunk.subport_ids if homes.get(one, {}).get(site) is not False}
    if not away:
        return set()
    query = sa.select(_PORTS.c.network_id).where(_PORTS.c.id.in_(sorted(away)))
    presence.extend_within(connection, site, set(connection.scalars(query)))
    ports = LockedObjects(connection, _PORT, away, alone=True)
    comes, target = [], site_store.get_by_name(connection, site)
    for one in sorted(away & ports.owners.keys()):
        try:
            if home.bring(connection, target, one) is None:
                comes.append(one)
        except errors.Conflict as error:
            raise errors.Conflict(
                f"port {trunk.parent_id}, the parent of the trunk, has its home at site {site}, "
                f"and a trunk and its subports are at one site: {error.message}",
                **error.fields,
            ) from error
    keys = along.bring(connection, {_PORT: comes}, [site])
    return keys | {IntentKey(site, _PORT, one) for one in comes}


def bring_released(site: SiteName, trunks: Mapping[str, Mapping[str, Any]]) -> None:
    """Give subports that another site has released the home of their trunks.

    What cannot come stays away; the site answers that the trunk lacks it, and is asked again.

    Args:
        site: the site that is about to have the trunks.
        trunks: in the form of Neutron's API, by id.
    """
    admin = n_context.get_admin_context()
    subports = {one["port_id"] for trunk in trunks.values() for one in trunk["sub_ports"]}
    with reading(admin) as connection:
        here = mapping.peek_ids(connection, _PORT, site, sorted(subports)) if subports else set()
    for trunk_id, trunk in sorted(trunks.items()):
        if {one["port_id"] for one in trunk["sub_ports"]} <= here:
            continue
        try:
            with writing(admin) as connection:
                journal.record(connection, gather(connection, [trunk_id]))
        except errors.Refused as error:
            LOG.info("Trunk %s lacks a subport at site %s: %s", trunk_id, site, error.message)
