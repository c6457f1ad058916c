"""Registrations: a site reports its incarnation and holdings, and central confirms or voids them.

A hello is cheap and comes from every site, periodically. It reveals whether either tier's database
is older than what it sent to the other: a site's, because central has seen higher batch numbers;
central's, because the site can prove a number that central's database never allocated. In these
cases, and where the site was recreated under its name, the site names its blocks; central answers
which of them are valid and which are void (`adoption`), and returns what the site has lost.
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from isthmus.journal import crash
from isthmus.model import number
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName
from isthmus.neutron.central import home
from isthmus.neutron.central.leases import aside
from isthmus.neutron.central.site_api.belief import adoption, contest, naming, presences
from isthmus.neutron.central.site_api.belief.rate import Pace, Rate
from isthmus.neutron.central.site_api.caller import look
from isthmus.neutron.central.site_api.hello import Hello
from isthmus.neutron.db.guard import Guarded
from isthmus.neutron.db.session import reading, writing
from isthmus.store.delivery import lane as lane_store
from isthmus.store.delivery import sweep
from isthmus.store.leases import lease as lease_store
from isthmus.store.ports import location
from isthmus.store.tiers import epoch, excess, parts
from isthmus.store.tiers import registration as store
from isthmus.store.tiers import site as site_store

LOG = logging.getLogger(__name__)

#: How often a site may register, per process: central then checks everything that it holds. A site
#: that has not recovered tries once a second. A hello counts like any call.
REGISTRATION_RATE = Rate(per_s=1.0, burst=60)
#: How often this process checks the witness because of hellos.
_LOOKS = Pace(every_s=1.0)
_PORT = ResourceType.PORT
#: Held by the thread that decides; whether anybody has asked for that since it began.
_DECIDING, _ASKED = threading.Lock(), threading.Event()


def compare_witness(context: Any) -> None:
    """Check whether central's database is older than the witness on this host, and recover.

    Where no site is awaited any more, what sites have named is decided as well, and central gives
    out addresses and keys again (`recover`).
    """
    look()
    recover(context)  # without a site none will register


def recover(context: Any) -> None:
    """Decide what sites have named, and recover, once no site is awaited any more.

    One thread of a process does so at a time: each hello asks for it, and there may be much to
    decide. What another one has brought meanwhile is looked at before it ends.
    """
    _ASKED.set()
    while _ASKED.is_set() and _DECIDING.acquire(blocking=False):
        try:
            _ASKED.clear()
            contest.decide(context)
            with writing(context) as connection:
                store.recover_with_last(connection, home.welcome)
        finally:
            _DECIDING.release()


def take(context: Any, site: Site, said: Hello) -> dict[str, Any]:
    """Process a registration or a hello, and return what the site has to do.

    A hello comes from every site, periodically, so it locks nothing but the site's own lane, and
    reads whether the site has applied its registration.
    """
    if _LOOKS.is_time():
        compare_witness(context)
    with reading(context) as connection:
        row_id = site_store.find_row_id(connection, site.name)
        assert row_id is not None
        is_news = _is_news(connection, site.name, said, row_id)
    if is_news:
        _begin_epoch(context, site.name, said)
    with reading(context) as connection:
        known = store.find(connection, site.name)
    standing = _judge(known, said, row_id)
    restored, waits, due = standing.restored, standing.waits, standing.due
    void: list[str] = []
    registering = said.leases is not None and not restored
    if registering:
        void = _register(context, site, said, row_id, standing, known or store.NEVER)
        recover(context)
        due = False
    # What is recorded for it now is more than what was, when it was told last.
    behind = epoch.Behind.NOT_KNOWN if registering and said.behind else said.behind
    if behind is not epoch.Behind.NOT:  # many intents, perhaps, so before the site's lane is locked
        with writing(context) as connection:
            behind = store.follow_shadows(connection, site.name, behind)
    with writing(context) as connection:
        heard = store.is_answer_heard(connection, site.name, said.heard, alone=registering)
        sent = lane_store.tell(connection, site.name)
        if registering:
            store.record_answer(connection, site.name, sent)
            parts.delete_site(connection, site.name)
        else:
            due = due or not heard
        own = epoch.peek(connection) or epoch.read(connection)
        answer: dict[str, Any] = {
            "registration": row_id,
            "epoch": known.epoch if known is not None and restored else said.epoch,
            "restored": restored,
            "seen": lane_store.peek(connection, site.name)[1],
            "register": due or restored,
            "name_numbers": waits and said.leases is None,
            "heard": sent,
            "proof": epoch.prove(own.secret, site.name, row_id, sent),
            "void": void,
            "leases": [],
            "port_keys": [],
            # Before central has recovered it cannot answer which ports are the site's.
            "pending": max(store.count_ports_due(connection, site.name), int(not own.recovered)),
            "recovered": own.recovered,
            "behind": behind.value,
            "aside": [],
        }
        if registering:
            held = lease_store.list_leases(connection, site=site.name)
            answer["leases"] = [lease_store.to_state(one) for one in held]
            answer["port_keys"] = location.list_keys_of_site(connection, site.name)
            # Behind the count of its ports.
            answer["aside"] = aside.list_aside(connection, site.name, held, has=_list_had(said))
    return answer


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where a site stands that says a hello."""

    restored: bool  #: its database is older than what central has heard of it
    waits: bool  #: central waits for it, and believes and takes back what it would not otherwise
    due: bool  #: it has to register


def _judge(known: store.Registration | None, said: Hello, row_id: str) -> _Standing:
    """Return where a site stands by its registration and what it says. Pure.

    Args:
        known: its registration.
        said: what it says.
        row_id: of its row at central.
    """
    if known is None:
        return _Standing(restored=False, waits=False, due=True)
    restored = known.registration == said.registration and (
        said.epoch < known.epoch or _is_another_life(known, said)
    )
    fresh = (known.epoch, known.life) != (said.epoch, said.life) or known.registration != row_id
    waits = known.waits or known.owes
    due = fresh or waits or known.again > 0 or said.registration != row_id
    return _Standing(restored=restored, waits=waits, due=due)


def _register(
    context: Any,
    site: Site,
    said: Hello,
    row_id: str,
    standing: _Standing,
    known: store.Registration,
) -> list[str]:
    """Register a site; return the ids of the leases that are void.

    Args:
        context: an administrator's.
        site: the site.
        said: what it says.
        row_id: of its row.
        standing: where it stands.
        known: its registration, by which that was decided.

    Raises:
        Busy: that has changed since; the site has to try again.
    """
    crash.point("registration.begun")
    with Guarded(lambda connection: store.check_unchanged(connection, site.name, known)):
        void = _believe(context, site, said, standing, row_id=row_id)
    if standing.due:
        with writing(context) as connection:
            store.put(
                connection,
                site.name,
                row_id,
                said.epoch,
                life=said.life,
                ports=said.ports,
                before=known,
                welcome=home.welcome,
            )
    LOG.info(
        "Site %s has registered in its epoch %d with %d leases; void: %s",
        site.name,
        said.epoch,
        len(said.leases or ()),
        ", ".join(void) or "none",
    )
    return void


def _believe(
    context: Any, site: Site, said: Hello, standing: _Standing, *, row_id: str
) -> list[str]:
    """Adopt and record what a site names; return the ids of the leases that are void."""
    assert said.leases is not None
    with reading(context) as connection:
        former = _find_former(connection, site.name, said)
    named = adoption.Named(
        leases=said.leases,
        datapaths=said.datapaths,
        former=former,
        unknown=standing.waits,
        complete=said.addresses is not None,
    )
    void = adoption.adopt(context, site, named)
    if standing.waits and (said.addresses is not None or said.known):
        spoken = _hear(site, said)
        if said.addresses is None:
            networks = {one.network_id for one in spoken.known}
            presences.adopt(context, site, networks, said.datapaths)
        elif used := presences.list_used(context, site, said.ports or (), said.addresses):
            LOG.warning(
                "Networks were being withdrawn from site %s when central was backed up, and have "
                "ports there, so that was undone: they stay. Withdraw them again where that is "
                "wrong: %s",
                site.name,
                ", ".join(used),
            )
            presences.adopt(context, site, used, said.datapaths)
        naming.record(context, site, spoken)
    if standing.due:
        with writing(context) as connection:
            home.take_up(connection, site.name, former)
            own = epoch.peek(connection)
            # Which site has which port and number is known once all have registered; and of shadows
            # only a site that was restored as well lacks any, and has yet to be sent them. Exits of
            # routers rest on both.
            late = {ResourceType.PORT, ResourceType.LEASE}
            if said.ports is not None and said.behind is epoch.Behind.NOT:
                late |= {ResourceType.SHADOW, ResourceType.ROUTER}
            early = [one for one in ResourceType if one not in late]
            sweep.renew(connection, site.name, ResourceType if own and own.recovered else early)
            forgot = standing.waits or not _remembers(own, said, row_id, former)
            excess.record(connection, site.name, said.holdings, forgot=forgot)
    return void


def _hear(site: Site, said: Hello) -> naming.Named:
    """Return what counts of the numbers that a site names while central waits for it.

    A site that was restored as well speaks of its strays alone, and no other site does: it names
    the ports that it has.
    """
    strays = [one for one in said.known if one.home == site.name]
    networks = {one.network_id for one in strays}
    if said.addresses is not None:
        if strays:
            LOG.warning(
                "refused: site=%s was not restored, and names %d ports on %d networks as known to "
                "its OVN alone: ignored",
                site.name,
                len(strays),
                len(networks),
            )
        others = [one for one in said.known if one.home != site.name]
        return naming.Named(ports=said.ports or (), addresses=said.addresses, known=others)
    LOG.warning(
        "Site %s was restored as well: its OVN alone knows of %d ports on %d networks",
        site.name,
        len(strays),
        len(networks),
    )
    return naming.Named(ports=(), addresses={}, known=strays)


def _is_another_life(known: store.Registration, said: Hello) -> bool:
    """Return whether two databases have begun the same epoch, both restored from one backup."""
    both_say = said.life is not None and known.life is not None
    return both_say and said.epoch == known.epoch and said.life != known.life


def _remembers(own: epoch.Epoch | None, said: Hello, row_id: str, former: str | None) -> bool:
    """Return whether central knows everything that the site's database was ever told.

    Not where the site last heard an earlier epoch of central, or was another site then.
    """
    if own is None or (said.registration != row_id and former is None):
        return False
    return number.epoch_of(said.heard) >= own.epoch


def _is_news(connection: sa.Connection, site: SiteName, said: Hello, row_id: str) -> bool:
    """Return whether a site proves a number that central's database does not know.

    A proof given to a deleted site says nothing about the lane of one added under the same name,
    and no proof is of an epoch that central cannot have had.
    """
    if said.registration != row_id or said.heard <= lane_store.peek_proven(connection, site):
        return False
    own = epoch.peek(connection)
    if own is None or not epoch.is_proven(own.secret, site, row_id, said.heard, said.proof):
        LOG.warning("Site %s shows a number of central's that central never gave", site)
        return False
    if not number.is_plausible(said.heard, number.make(own.epoch)):
        LOG.warning(
            "Site %s shows number %s of central's, which is of epoch %d: ignored",
            site,
            number.show(said.heard),
            own.epoch,
        )
        return False
    return True


def _begin_epoch(context: Any, site: SiteName, said: Hello) -> None:
    """Begin an epoch above what a site has proven, unless another hello has just done so."""
    reason = f"central's database is older than what it told site {site}: it was restored"
    with writing(context) as connection:
        epoch.read(connection)
        if said.heard <= lane_store.read_proven(connection, site):
            return
        begun = epoch.begin(connection, reason, above=number.epoch_of(said.heard))
    LOG.warning("%s; epoch %d begins", reason, begun.epoch)


def _find_former(connection: sa.Connection, site: SiteName, said: Hello) -> str | None:
    """Return the earlier registration of a site, if it can prove that it was the same site.

    Its holdings could be another site's; the proof that central sent with the registration is bound
    to its name and to that registration.
    """
    own = epoch.peek(connection)
    if said.registration is None or own is None:
        return None
    if not epoch.is_proven(own.secret, site, said.registration, said.heard, said.proof):
        return None
    return said.registration


def _list_had(said: Hello) -> Collection[str] | None:
    """Return the ports that a site has which recovers; None where it says nothing, or does not."""
    return said.holdings.get(_PORT, ()) if said.ports is None and said.holdings else None
