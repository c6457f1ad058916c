"""A restored central sends nothing that rests on what its sites have done since the backup."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows
from tests.ports.test_central_store import ONE, T0, TWO

from isthmus.model.intent import IntentKey, Outcome, Settlement
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import journal
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.ports import home
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import (
    JOURNAL,
    LOCATIONS,
    METADATA,
    NAMED_PORTS,
    REGISTRATIONS,
    SITE_MAPPINGS,
    SITES,
)
from isthmus.store.tiers import epoch, mapping, registration, restored

PORTS = neutron_rows.TABLES["ports"]
KINDS = ("network", "port", "shadow", "lease", "security_group", "router")


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """Each kind of intent in the lanes of two sites; port `known` is at site TWO, on a network."""
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("mariadb_url")
    made = open_engine(url)
    METADATA.create_all(made)
    neutron_rows.METADATA.create_all(made)
    with writing(made) as connection:
        epoch.read(connection)
        ports = [{"id": one, "device_id": ""} for one in ("known", "claimed")]
        connection.execute(sa.insert(PORTS), ports)
        for site in (ONE, TWO):
            connection.execute(
                sa.insert(SITES).values(
                    id=site, name=site, region=site, availability_zones="[]", state="enabled",
                    service_user=site, tunnel_prefixes="[]", fabrics="[]", reachability="unknown",
                    created_at=T0, updated_at=T0,
                )
            )  # fmt: skip
            connection.execute(
                sa.insert(REGISTRATIONS).values(site=site, registration=site, epoch=1, waits=False)
            )
            keys = [IntentKey(site, ResourceType(kind), f"a-{kind}") for kind in KINDS]
            shadow = ResourceType.SHADOW
            keys += [IntentKey(site, shadow, "known"), IntentKey(site, shadow, "claimed")]
            journal.record(connection, keys)
        connection.execute(
            sa.insert(LOCATIONS).values(
                port_id="known", network_id="n", site=TWO, chassis="c", hostname="h",
                encap_ip="192.0.2.1", port_key=1,
            )
        )  # fmt: skip
        for site in (ONE, TWO):
            mapping.record(
                connection, ResourceType.NETWORK, ["n"], site, owners={"n": None}, now=T0
            )
    yield made
    neutron_rows.METADATA.drop_all(made)
    METADATA.drop_all(made)
    made.dispose()


def claim(engine: sa.Engine, site: SiteName) -> set[str]:
    """Say of what a worker claims intents, and release them."""
    store = SqlJournal(engine, find_deliverable=restored.find_deliverable)
    is_due = site in store.due_lanes()
    found = store.claim(site, owner="me", claim_s=300, limit=99).claims
    assert is_due == bool(found)
    with writing(engine) as connection:
        connection.execute(sa.update(JOURNAL).values(owner=None, expires_at=None))
    return {one.key.id for one in found}


ALL = {f"a-{kind}" for kind in KINDS} | {"known", "claimed"}
CERTAIN = {"a-network", "a-security_group", "a-router"}


def change(engine: sa.Engine, site: SiteName, **values: bool) -> None:
    with writing(engine) as connection:
        of_site = REGISTRATIONS.c.site == site
        connection.execute(sa.update(REGISTRATIONS).where(of_site).values(**values))


def home_of(engine: sa.Engine, *ports: str) -> None:
    """Have ports at home at site TWO, which has not reported them since the restore."""
    with writing(engine) as connection:
        for port_id in ports:
            home.assign(connection, port_id, TWO, project_id=None, now=T0)
        connection.execute(sa.update(SITE_MAPPINGS).values(stale=True))


def restore(engine: sa.Engine, *, recovered: bool) -> None:
    with writing(engine) as connection:
        epoch.begin(connection, "restored")
        if recovered:
            connection.execute(sa.update(REGISTRATIONS).values(waits=False, named_ports=True))
            epoch.recover(connection)


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("goes_back", [False, True])
def test_an_answer_of_before_a_restore_settles_nothing(
    engine: sa.Engine, outcome: Outcome, goes_back: bool
) -> None:
    """The row of the backup is asked for again since, and counts up to the same generation."""
    key = IntentKey(ONE, ResourceType.NETWORK, "a-network")
    mine = sa.and_(JOURNAL.c.lane == ONE, JOURNAL.c.resource_id == "a-network")
    store = SqlJournal(engine)
    with writing(engine) as connection:
        (backup,) = connection.execute(sa.select(JOURNAL).where(mine)).mappings()
        journal.record(connection, [key])
    (claimed,) = [
        one for one in store.claim(ONE, owner="me", claim_s=300, limit=99).claims if one.key == key
    ]
    if goes_back:
        with writing(engine) as connection:
            connection.execute(sa.update(JOURNAL).where(mine).values(**backup))
            epoch.begin(connection, "restored")
            journal.record(connection, [key])  # as when the site registers
    store.settle([Settlement(claim=claimed, outcome=outcome, delay_s=60, error="e")])
    with writing(engine) as connection:
        row = connection.execute(sa.select(JOURNAL).where(mine)).one_or_none()
    is_due = row is not None and not row.parked and not row.last_error and row.owner is None
    assert is_due is goes_back


def test_a_central_that_was_never_restored_delivers_everything(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(NAMED_PORTS).values(port_id="claimed", site=TWO))
    assert claim(engine, ONE) == ALL


def test_what_ports_and_numbers_rest_on_waits_for_all_sites(engine: sa.Engine) -> None:
    restore(engine, recovered=False)
    assert claim(engine, ONE) == claim(engine, TWO) == set()
    change(engine, ONE, waits=False, named_ports=True)
    assert claim(engine, TWO) == set()
    assert claim(engine, ONE) == CERTAIN | {"known"}  # it was reported since
    home_of(engine, "known")
    assert claim(engine, ONE) == CERTAIN
    # A site that was restored as well lacks the shadows of what it has forgotten.
    change(engine, ONE, named_ports=False)
    assert claim(engine, ONE) == CERTAIN | {"known"}
    with writing(engine) as connection:
        connection.execute(sa.update(SITE_MAPPINGS).values(withdrawn=True))
    assert claim(engine, ONE) == CERTAIN  # it would be told to remove it


def test_a_settled_central_delivers_everything_but_to_sites_it_went_on_without(
    engine: sa.Engine,
) -> None:
    restore(engine, recovered=True)
    assert claim(engine, ONE) == claim(engine, TWO) == ALL
    change(engine, ONE, owes=True)
    assert claim(engine, ONE) == set()
    assert claim(engine, TWO) == ALL


@pytest.mark.parametrize("why", ["claimed", "stale"])
def test_a_shadow_goes_only_when_no_site_has_yet_to_report_its_port(
    engine: sa.Engine, why: str
) -> None:
    restore(engine, recovered=True)
    if why == "stale":
        home_of(engine, "claimed", "known")
    else:
        with writing(engine) as connection:
            for port_id in ("claimed", "known"):
                connection.execute(sa.insert(NAMED_PORTS).values(port_id=port_id, site=TWO))
    assert claim(engine, ONE) == ALL - {"claimed"}
    assert claim(engine, TWO) == ALL - {"claimed", "known"}  # it is at TWO, by the backup
    with writing(engine) as connection:
        connection.execute(sa.delete(NAMED_PORTS))
        connection.execute(sa.update(SITE_MAPPINGS).values(stale=False))
    assert claim(engine, ONE) == claim(engine, TWO) == ALL


@pytest.mark.parametrize("why", ["deleted", "disabled"])
def test_a_shadow_that_nobody_will_ever_want_waits_for_no_report(
    engine: sa.Engine, why: str
) -> None:
    """Its port was deleted at central while its home is away, or its home is disabled."""
    restore(engine, recovered=True)
    home_of(engine, "claimed")
    assert claim(engine, ONE) == ALL - {"claimed"}
    with writing(engine) as connection:
        if why == "deleted":
            connection.execute(sa.delete(PORTS).where(PORTS.c.id == "claimed"))
        else:
            connection.execute(sa.update(SITES).where(SITES.c.name == TWO).values(state="disabled"))
    assert claim(engine, ONE) == ALL


def test_the_shadows_of_a_site_that_is_gone_go(engine: sa.Engine) -> None:
    """Nobody will ever report its ports."""
    restore(engine, recovered=True)
    home_of(engine, "claimed")
    with writing(engine) as connection:
        home.change_all(connection, TWO, registration.aside("row"))
    assert claim(engine, ONE) == ALL


@pytest.mark.parametrize("is_restored", [False, True])
def test_only_a_home_that_can_say_says_that_a_port_is_gone(
    engine: sa.Engine, *, is_restored: bool
) -> None:
    """One that was restored too names no ports: its own are central's word only when reported."""

    def nobody(_connection: sa.Connection, move: object) -> None:
        raise AssertionError(f"{move} moves, and no port should")

    restore(engine, recovered=False)
    home_of(engine, "known")
    for site in (ONE, TWO):
        with writing(engine) as connection:
            named = None if site == TWO and is_restored else ()
            registration.put(connection, site, "row", 2, ports=named, welcome=nobody)
    with writing(engine) as connection:
        own = epoch.peek(connection)
        assert own is not None
        assert own.recovered
        assert home.find_stale(connection, ["known"]) == ({"known"} if is_restored else set())
        behind = registration.follow_shadows(connection, ONE, epoch.Behind.NOT_KNOWN)
    waits = epoch.Behind.NOT_KNOWN if is_restored else epoch.Behind.NOT_SENT
    assert behind is waits, "what its OVN has of the port stays until the port is reported"
