"""How far a restored site has heard of the ports of others, by which its OVN's rows stay."""

import warnings

import pytest
import sqlalchemy as sa
from tests.ports.test_central_store import ONE, T0, TWO
from tests.ports.test_restored_delivery import change, engine, home_of, restore

from isthmus import errors
from isthmus.dataplane.protocols import Trust
from isthmus.model.intent import IntentKey
from isthmus.model.item import ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteState
from isthmus.store.delivery import journal, refusal
from isthmus.store.ports import home
from isthmus.store.sql.engine import writing
from isthmus.store.sql.tables import JOURNAL, NAMED_PORTS, SITE_MAPPINGS, SITES
from isthmus.store.tiers import epoch, registration
from isthmus.store.tiers.epoch import Behind

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.ovn.desired_rows import SqlSource

__all__ = ["engine"]

_SHADOW = ResourceType.SHADOW


def say(engine: sa.Engine, behind: Behind) -> Behind:
    with writing(engine) as connection:
        return registration.follow_shadows(connection, ONE, behind)


def send(engine: sa.Engine, *ids: str) -> None:
    """Have site ONE take shadows and routers; all without any."""
    kinds = (_SHADOW.value, ResourceType.ROUTER.value)
    of_site = sa.and_(JOURNAL.c.lane == ONE, JOURNAL.c.type.in_(kinds))
    with writing(engine) as connection:
        query = sa.delete(JOURNAL).where(of_site)
        connection.execute(query.where(JOURNAL.c.resource_id.in_(ids)) if ids else query)


def test_a_site_that_was_not_restored_waits_for_nothing(engine: sa.Engine) -> None:
    assert say(engine, Behind.NOT) is Behind.NOT
    restore(engine, recovered=False)
    assert say(engine, Behind.NOT) is Behind.NOT


def test_what_is_recorded_by_now_is_to_be_sent_first(engine: sa.Engine) -> None:
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT
    with writing(engine) as connection:
        journal.record(connection, [IntentKey(ONE, _SHADOW, "later")])
    send(engine, "a-router", "a-shadow", "known")
    assert say(engine, Behind.NOT_SENT) is Behind.NOT_SENT
    send(engine, "claimed")
    assert say(engine, Behind.NOT_SENT) is Behind.NOT  # what came since is for later


def test_a_router_that_the_site_has_put_off_is_waited_for(engine: sa.Engine) -> None:
    """Its OVN's transit network and exits would be taken away, until the router is sent again."""
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT
    router = sa.and_(JOURNAL.c.lane == ONE, JOURNAL.c.type == ResourceType.ROUTER.value)
    with writing(engine) as connection:
        kept = sa.and_(JOURNAL.c.lane == ONE, JOURNAL.c.type != ResourceType.ROUTER.value)
        connection.execute(sa.delete(JOURNAL).where(kept))
        journal.delay(connection, ONE, ResourceType.ROUTER, ["a-router"], delay_s=600)
    assert say(engine, Behind.NOT_SENT) is Behind.NOT_SENT
    with writing(engine) as connection:
        connection.execute(sa.delete(JOURNAL).where(router))
    assert say(engine, Behind.NOT_SENT) is Behind.NOT


def test_a_parked_shadow_is_not_waited_for(engine: sa.Engine) -> None:
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT
    with writing(engine) as connection:
        connection.execute(sa.update(JOURNAL).values(parked=True))
    assert say(engine, Behind.NOT_SENT) is Behind.NOT


def test_a_restored_central_has_to_hear_of_the_ports_itself(engine: sa.Engine) -> None:
    send(engine)
    restore(engine, recovered=False)
    assert say(engine, Behind.NOT_SENT) is Behind.NOT_KNOWN
    restore(engine, recovered=True)
    with writing(engine) as connection:
        connection.execute(sa.insert(NAMED_PORTS).values(port_id="made-since", site=TWO))
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_KNOWN
    with writing(engine) as connection:
        connection.execute(sa.delete(NAMED_PORTS))
    home_of(engine, "known")
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_KNOWN
    with writing(engine) as connection:
        home.end_stale(connection, "known")
        journal.record(connection, [IntentKey(ONE, _SHADOW, "known")])
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT
    send(engine)
    assert say(engine, Behind.NOT_SENT) is Behind.NOT


def test_a_report_that_central_refused_is_not_waited_for(engine: sa.Engine) -> None:
    """It is for a person, and each restored site would wait for years."""
    send(engine)
    restore(engine, recovered=True)
    home_of(engine, "known")
    with writing(engine) as connection:
        connection.execute(sa.insert(NAMED_PORTS).values(port_id="made-since", site=TWO))
    for port_id in ("known", "made-since"):
        assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_KNOWN
        with writing(engine) as connection:
            result = ItemResult(ResourceType.PORT, port_id, errors.Conflict.code, "no")
            refusal.record(connection, TWO, result, now=T0)
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT


def test_a_port_that_its_home_does_not_take_is_not_waited_for(engine: sa.Engine) -> None:
    send(engine)
    restore(engine, recovered=True)
    home_of(engine, "known")
    with writing(engine) as connection:
        journal.record(connection, [IntentKey(TWO, ResourceType.PORT, "known")])
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_KNOWN
    with writing(engine) as connection:
        of_port = sa.and_(JOURNAL.c.lane == TWO, JOURNAL.c.resource_id == "known")
        of_port = sa.and_(of_port, JOURNAL.c.type == ResourceType.PORT.value)
        connection.execute(sa.update(JOURNAL).where(of_port).values(parked=True))
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT


@pytest.mark.parametrize("how", ["lost", "disabled"])
def test_nobody_waits_for_a_site_that_is_lost(engine: sa.Engine, how: str) -> None:
    restore(engine, recovered=True)
    home_of(engine, "known", "claimed")
    with writing(engine) as connection:
        connection.execute(sa.insert(NAMED_PORTS).values(port_id="made-since", site=TWO))
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_KNOWN
    if how == "lost":
        change(engine, TWO, owes=True)
    else:
        with writing(engine) as connection:
            off = sa.update(SITES).where(SITES.c.name == TWO)
            connection.execute(off.values(state=SiteState.DISABLED.value))
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT
    send(engine, "a-router", "a-shadow", "known")
    if how == "disabled":  # central goes by what it knows of ports there, and sends the removal
        assert say(engine, Behind.NOT_SENT) is Behind.NOT_SENT
        send(engine, "claimed")
    # Of the other one's it alone could say that the port is gone: nothing is sent.
    assert say(engine, Behind.NOT_SENT) is Behind.NOT


def test_a_site_s_own_ports_are_no_others(engine: sa.Engine) -> None:
    send(engine)
    restore(engine, recovered=True)
    with writing(engine) as connection:
        home.assign(connection, "own", ONE, project_id=None, now=T0)
        connection.execute(sa.update(SITE_MAPPINGS).values(stale=True))
        connection.execute(sa.insert(NAMED_PORTS).values(port_id="own-too", site=ONE))
    assert say(engine, Behind.NOT_KNOWN) is Behind.NOT_SENT
    assert say(engine, Behind.NOT_SENT) is Behind.NOT


def test_what_a_restored_site_s_tables_count_for(engine: sa.Engine) -> None:
    """It recovers, and hears of the ports of others; each of the two may come first."""
    with writing(engine) as connection:
        source = SqlSource(connection)
        assert source.trust() is Trust.ALL
        epoch.begin(connection, "restored")
        assert source.trust() is Trust.NONE
        epoch.recover(connection)
        assert source.trust() is Trust.OWN
        epoch.follow(connection, Behind.NOT)
        assert source.trust() is Trust.ALL
        epoch.begin(connection, "restored")
        epoch.follow(connection, Behind.NOT)
        assert source.trust() is Trust.NONE
