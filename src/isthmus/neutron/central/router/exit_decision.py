"""By which sites routers' traffic leaves: decided here of what the database has.

`federation.exits` decides; it is asked when a site's state is read, and in each transaction that
may change the decision: what cannot be is refused there, and transit keys are allocated.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import external_net, l3

from isthmus import errors
from isthmus.federation.exits.decide import decide_exits
from isthmus.federation.exits.refusal import (
    ABOUT_FLOATING,
    ABOUT_TRANSIT,
    CUTS_FLOATING,
    Refusal,
    list_refusals,
)
from isthmus.federation.exits.seat import plan_seats, seat_gateways
from isthmus.model.exits.plan import ExitPlan
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.router.facts import Facts, Reader
from isthmus.neutron.db import gateways
from isthmus.store.ports import gateway as gateway_store
from isthmus.store.ports import transit
from isthmus.store.tiers import epoch, mapping
from isthmus.store.tiers.locked import LockedObjects

_ROUTER = ResourceType.ROUTER
_PORTS = models_v2.Port.__table__
_JOINS = l3.RouterPort.__table__
_EXTERNAL = external_net.ExternalNetwork.__table__


@dataclass(frozen=True, slots=True)
class Asked:
    """What a transaction adds that may be impossible."""

    routers: frozenset[str] = frozenset()  #: with a new gateway, interface or route
    joined: frozenset[str] = frozenset()  #: of those, with a new interface
    gateways: frozenset[str] = frozenset()  #: external networks of new gateways
    floating_ips: frozenset[str] = frozenset()  #: that are associated
    forwardings: frozenset[str] = frozenset()  #: port forwardings that are new, or are others now
    #: (router, network) of gateways and interfaces that go: what floating IPs may need of them.
    leaving: frozenset[tuple[str, str]] = frozenset()

    def list_needy(self) -> set[str]:
        """List the routers whose floating IPs may be left without what they need."""
        return {router_id for router_id, _ in self.leaving}


def decide(facts: Facts, router_id: str) -> ExitPlan:
    """Decide the exits of one router of those whose facts are given."""
    return decide_exits(
        facts.routers[router_id],
        facts.list_networks(router_id),
        facts.sites,
        facts.transits.get(router_id),
    )


def peek_plans(connection: sa.Connection, router_ids: Collection[str]) -> dict[str, ExitPlan]:
    """Decide the exits of routers by plain reads; one without gateways is missing."""
    concerned = find_with_gateways(connection, router_ids, latest=False)
    if not concerned:
        return {}
    facts = Reader(connection, latest=False).read(concerned)
    return {one: decide(facts, one) for one in facts.routers}


def find_places(
    connection: sa.Connection, router_ids: Collection[str]
) -> dict[str, frozenset[SiteName]]:
    """List the sites where routers' gateways are, by router; those without gateways are missing.

    The seat of a gateway whose site is disabled is one of them, so that the router stays there.
    """
    concerned = find_with_gateways(connection, router_ids)
    if not concerned:
        return {}
    facts = Reader(connection, latest=True).read(concerned)
    sites = {one.name: one for one in facts.sites}
    found = {}
    for router_id, router in facts.routers.items():
        networks = {one.id: one for one in facts.list_networks(router_id)}
        seats = [
            *plan_seats(router.gateways, networks, sites).values(),
            *seat_gateways(router.gateways, networks, sites).values(),
        ]
        found[router_id] = frozenset(seat for seat in seats if seat is not None)
    return found


def follow(
    connection: sa.Connection, router_ids: Collection[str], asked: Asked | None = None
) -> set[IntentKey]:
    """Decide routers anew in the transaction that changed something, and return whom to tell.

    Where a site needs a transit address and has none, it is allocated.

    Args:
        connection: of the transaction; what it changed is written.
        router_ids: the routers; those without gateways have no exits, and nobody is told.
        asked: what somebody wants added, and is refused where it cannot be.

    Raises:
        Conflict: what is asked for cannot be; the field `name` says by which rule.
        InUse: floating IPs need what is taken away.
        Exhausted: no transit key is left.
        Busy: central was restored and has not recovered, and what is asked for needs a transit key
            that the router did not need before.
    """
    concerned = find_with_gateways(connection, router_ids)
    without = sorted(set(router_ids) - set(concerned))
    gateway_store.keep_only(connection, dict.fromkeys(without, frozenset()))
    if asked is not None and (asked.floating_ips or asked.forwardings or asked.leaving):
        _refuse_cut(connection, without, asked)
    if not concerned:
        return set()
    locked = LockedObjects(connection, _ROUTER, concerned)
    facts = Reader(connection, latest=True).read(concerned)
    if asked is not None:
        _refuse(facts, asked)
        _refuse_needed(connection, facts, asked)
    plans = {router_id: decide(facts, router_id) for router_id in facts.routers}
    gateway_store.keep_only(
        connection,
        {one: frozenset(filter(None, plan.seats.values())) for one, plan in plans.items()},
    )
    wanted = {one: sorted(plan.transit_wanted) for one, plan in plans.items()}
    wanted = {one: sites for one, sites in wanted.items() if sites}
    if wanted and not epoch.is_recovered(connection):
        # What nobody asks for here waits: its sites read it again then.
        wanted = {one: sites for one, sites in wanted.items() if _is_needed_by(asked, facts, one)}
    if wanted:
        _allocate(connection, wanted)
    if wanted and asked is not None:
        _refuse(Reader(connection, latest=True).read(wanted), asked)
    return {IntentKey(site, _ROUTER, one) for one in concerned for site in locked.sites(one)}


def find_lacking_transit(connection: sa.Connection, router_ids: Collection[str]) -> list[str]:
    """List the routers for which transit keys are still to be allocated, by plain reads."""
    plans = peek_plans(connection, router_ids)
    return sorted(one for one, plan in plans.items() if plan.transit_wanted)


def find_with_gateways(
    connection: sa.Connection, router_ids: Iterable[str], *, latest: bool = True
) -> list[str]:
    """List which of these routers have gateways; no others have exits.

    Args:
        connection: of the transaction.
        router_ids: the routers.
        latest: by a locking read, because something is decided by it.
    """
    ids = sorted(set(router_ids))
    if not ids:
        return []
    query = sa.select(_JOINS.c.router_id).where(
        _JOINS.c.router_id.in_(ids), _JOINS.c.port_type == gateways.OWNER
    )
    return sorted(set(connection.scalars(query.with_for_update(read=True) if latest else query)))


def find_by_networks(connection: sa.Connection, network_ids: Collection[str]) -> set[str]:
    """List the routers that have gateways on these networks, by a locking read."""
    if not network_ids:
        return set()
    query = (
        sa.select(_JOINS.c.router_id)
        .join_from(_JOINS, _PORTS, _JOINS.c.port_id == _PORTS.c.id)
        # By the few external networks, so that no other network's ports are looked at and locked.
        .join(_EXTERNAL, _EXTERNAL.c.network_id == _PORTS.c.network_id)
        .where(
            _EXTERNAL.c.network_id.in_(sorted(network_ids)), _JOINS.c.port_type == gateways.OWNER
        )
    )
    return set(connection.scalars(query.with_for_update(read=True)))


def find_around(connection: sa.Connection, site: SiteName) -> set[str]:
    """List the routers with gateways that are at a site, or leave by a network that is there."""
    query = (
        sa.select(_JOINS.c.router_id)
        .join_from(_JOINS, _PORTS, _JOINS.c.port_id == _PORTS.c.id)
        .where(
            _JOINS.c.port_type == gateways.OWNER,
            sa.or_(
                _JOINS.c.router_id.in_(mapping.select_ids(_ROUTER, site)),
                _PORTS.c.network_id.in_(mapping.select_ids(ResourceType.NETWORK, site)),
            ),
        )
    )
    return set(connection.scalars(query))


def _is_needed_by(asked: Asked | None, facts: Facts, router_id: str) -> bool:
    """Return whether sites lack transit keys because of what is asked for of a router."""
    if asked is None:
        return False
    if router_id in asked.joined:
        return True
    before = _leave_out(asked, facts, router_id)
    if before.routers[router_id] == facts.routers[router_id]:
        return False
    lacked = decide(before, router_id).transit_wanted
    return not decide(facts, router_id).transit_wanted <= lacked


def _leave_out(asked: Asked, facts: Facts, router_id: str) -> Facts:
    """Return the facts as they are without what is asked for of a router."""
    router = facts.routers[router_id]
    before = dataclasses.replace(
        router,
        gateways=frozenset(one for one in router.gateways if one.network_id not in asked.gateways),
        floating_ips=frozenset(
            one for one in router.floating_ips if one.id not in asked.floating_ips
        ),
        forwardings=frozenset(one for one in router.forwardings if one.id not in asked.forwardings),
    )
    return dataclasses.replace(facts, routers={**facts.routers, router_id: before})


def _allocate(connection: sa.Connection, wanted: Mapping[str, Sequence[SiteName]]) -> None:
    epoch.require_recovered(connection)
    locked = LockedObjects(connection, _ROUTER, wanted, alone=True)
    for router_id, sites in sorted(wanted.items()):
        for site in sites:
            transit.allocate(connection, locked, router_id, site)


def _refuse(facts: Facts, asked: Asked) -> None:
    """Refuse what is asked for and cannot be.

    What has become impossible of the rest of a router is no reason: it heals by itself, or by what
    is asked for here. So two that exclude each other already refuse nothing else: of what several
    objects may be the reason for, that alone counts which is not so without what is asked for.
    """
    for router_id, router in facts.routers.items():
        floating = {one.id for one in router.floating_ips} & asked.floating_ips
        floating |= {one.id for one in router.forwardings} & asked.forwardings
        gates = {one.network_id for one in router.gateways} & asked.gateways
        if router_id not in asked.routers and not floating:
            continue
        doubtful = []
        for refusal in _list_refusals(facts, router_id):
            if refusal.name in ABOUT_TRANSIT:
                raise refusal.to_error()
            added = floating if refusal.name in ABOUT_FLOATING else gates
            if refusal.subject in added:
                raise refusal.to_error()
            if added and refusal.is_of_several:
                doubtful.append(refusal)
        if doubtful:
            known = _list_refusals(_leave_out(asked, facts, router_id), router_id)
            lasting = {(one.name, one.subject) for one in known}
            for refusal in doubtful:
                if (refusal.name, refusal.subject) not in lasting:
                    raise refusal.to_error()


def _list_refusals(facts: Facts, router_id: str) -> list[Refusal]:
    return list_refusals(
        facts.routers[router_id],
        facts.list_networks(router_id),
        facts.sites,
        facts.transits.get(router_id),
    )


def _refuse_cut(connection: sa.Connection, router_ids: Collection[str], asked: Asked) -> None:
    """Refuse what leaves floating IPs of routers that have no gateway at all.

    Neutron has looked before, and not behind a lock: gateway and floating IP may have passed.
    """
    if not router_ids:
        return
    facts = Reader(connection, latest=True).read(router_ids)
    _refuse(facts, asked)
    _refuse_needed(connection, facts, asked)


def _refuse_needed(connection: sa.Connection, facts: Facts, asked: Asked) -> None:
    """Refuse to take away a gateway or an interface that floating IPs need.

    Raises:
        InUse: some do.
    """
    for router_id in sorted(asked.list_needy() & facts.routers.keys()):
        leaving = {network_id for one, network_id in asked.leaving if one == router_id}
        router = facts.routers[router_id]
        ports = {one.port_id for one in router.answered}
        query = sa.select(_PORTS.c.id).where(
            _PORTS.c.id.in_(sorted(ports)), _PORTS.c.network_id.in_(sorted(leaving))
        )
        query = query.with_for_update(read=True)  # a port may be younger than this transaction
        behind = set(connection.scalars(query)) if ports else set()
        cut = {one.subject for one in _list_refusals(facts, router_id) if one.name in CUTS_FLOATING}
        needy = sorted(
            {
                str(one.address)
                for one in router.answered
                if one.id in cut and (one.network_id in leaving or one.port_id in behind)
            }
        )
        if needy:
            raise errors.InUse(
                f"floating IPs {', '.join(needy)} need this of router {router_id}: disassociate "
                "them, and delete their port forwardings, first"
            )
