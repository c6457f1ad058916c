"""Central's own rows (sites, site mappings, leases, places, keys) on SQLite and on MariaDB."""

import datetime
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ports import neutron_rows

from isthmus import errors
from isthmus.model.intent import IntentKey
from isthmus.model.item import ItemResult
from isthmus.model.lease import Block, PoolKind
from isthmus.model.principal import Caller
from isthmus.model.resource import ResourceType
from isthmus.model.site import Reachability, Site, SiteName
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import journal, refusal
from isthmus.store.leases import lease, resting
from isthmus.store.ports import datapath, hypervisor, location
from isthmus.store.ports.location import Location
from isthmus.store.sql import clock
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.page import Page, select_page
from isthmus.store.sql.tables import (
    DATAPATHS,
    HYPERVISORS,
    JOURNAL,
    LEASES,
    METADATA,
    REFUSALS,
    SITE_MAPPINGS,
)
from isthmus.store.tiers import forget, mapping, site

ONE, TWO = SiteName("site1"), SiteName("site2")
T0 = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - naive as in the tables
NETWORK, SUBNET, PORT = ResourceType.NETWORK, ResourceType.SUBNET, ResourceType.PORT


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    url = (
        f"sqlite:///{tmp_path / 'central.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("mariadb_url")
    )
    engine = open_engine(url)
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.create_all(engine)
    with writing(engine) as opened:
        yield opened
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.drop_all(engine)
    engine.dispose()


def new_site(name: SiteName, **more: object) -> Site:
    values = {
        "name": name,
        "region": f"region-{name}",
        "availability_zones": (f"zone-{name}",),
        "service_user": f"user-{name}",
        **more,
    }
    return Site(**values)  # type: ignore[arg-type]


def place(port_id: str, where: SiteName, network_id: str = "n") -> Location:
    return Location(
        port_id=port_id,
        network_id=network_id,
        site=where,
        chassis=f"c-{where}",
        hostname="h",
        encap_ip=f"192.0.2.{where[-1]}",
        port_key=zlib.crc32(f"{port_id} {where}".encode()) % 2**15,
    )


def test_sites_are_known_by_name_and_by_user(connection: sa.Connection) -> None:
    site.insert(connection, new_site(ONE), now=T0)
    known, name = site.get_by_name(connection, "site1"), "user-site1"
    assert site.find_by_caller(connection, Caller(name, "whoever", "d")) == known
    # Somebody else of that name, and of an id that a database might hold for the same.
    for stranger in (Caller("new-id", name, "default"), Caller(name.upper(), name, "default")):
        assert site.find_by_caller(connection, stranger) is None
    site.insert(connection, replace(new_site(TWO), service_user="d/named"), now=T0)
    assert site.find_by_caller(connection, Caller("any", "named", "d")) == site.get_by_name(
        connection, TWO
    )
    assert site.find_by_caller(connection, Caller("any", "named", "default")) is None
    assert site.find_by_caller(connection, Caller("", "", "")) is None
    with pytest.raises(errors.NotFound):
        site.get_by_name(connection, "site3")


@pytest.mark.parametrize("field", ["region", "service_user"])
def test_what_belongs_to_one_site_cannot_be_anothers(connection: sa.Connection, field: str) -> None:
    site.insert(connection, new_site(ONE), now=T0)
    clash = new_site(TWO, **{field: getattr(new_site(ONE), field)})
    with pytest.raises(errors.Exists, match="site1"):
        site.insert(connection, clash, now=T0)
    own = site.insert(connection, new_site(TWO), now=T0)
    with pytest.raises(errors.Exists, match="site1"):
        site.update(connection, own, clash, now=T0)
    site.update(connection, own, new_site(TWO, description="same otherwise"), now=T0)


def test_reachability_keeps_when_a_site_was_last_seen(connection: sa.Connection) -> None:
    site.insert(connection, new_site(ONE), now=T0)
    (never,) = site.list_seen(connection)
    assert (never.reachability, never.seen_ago_s) == (Reachability.UNKNOWN, None)
    moment = clock.read(connection)
    site.record_reachability(connection, ONE, Reachability.REACHABLE, now=moment)
    (seen,) = site.list_seen(connection)
    assert seen.reachability is Reachability.REACHABLE
    assert seen.seen_ago_s is not None
    assert -1 < seen.seen_ago_s < 60
    # What is old shows as old, by the database's own clock.
    long_ago = moment.replace(microsecond=0) - datetime.timedelta(hours=1)
    site.record_reachability(connection, ONE, Reachability.REACHABLE, now=long_ago)
    site.record_reachability(connection, ONE, Reachability.UNREACHABLE, now=moment, error="no")
    (silent,) = site.list_seen(connection)
    assert silent.reachability is Reachability.UNREACHABLE
    assert silent.seen_ago_s is not None
    assert 3600 <= silent.seen_ago_s < 3660
    (row,) = site.list_rows(connection, {}, Page())
    assert (row["last_seen_at"], row["last_error"]) == (long_ago, "no")
    assert row["availability_zones"] == ["zone-site1"]


def test_mappings_come_go_and_come_back(connection: sa.Connection) -> None:
    mapping.record(connection, NETWORK, ["a", "b"], ONE, owners={"a": "p"}, now=T0)
    mapping.record(connection, NETWORK, ["a"], TWO, now=T0)
    mapping.withdraw(connection, NETWORK, ["a"], ONE)
    assert mapping.list_sites(connection, NETWORK, ["a", "b", "c"]) == {
        "a": {ONE: True, TWO: False},
        "b": {ONE: False},
    }
    assert mapping.peek_ids(connection, NETWORK, ONE, ["a", "b"]) == {"b"}
    mapping.record(connection, NETWORK, ["a"], ONE, now=T0)
    assert mapping.list_sites(connection, NETWORK, ["a"])["a"][ONE] is False
    assert mapping.count_at(connection, ONE) == 2
    mapping.delete(connection, NETWORK, "a", ONE)
    assert mapping.list_sites(connection, NETWORK, ["a"]) == {"a": {TWO: False}}


def test_datapath_keys_count_down_and_fill_gaps(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = datapath.HIGHEST_KEY
    assert [datapath.ensure_key(connection, name) for name in "abca"] == [
        top,
        top - 1,
        top - 2,
        top,
    ]
    monkeypatch.setattr(datapath, "LOWEST_KEY", top - 2)
    datapath.delete(connection, "b")
    assert datapath.ensure_key(connection, "d") == top - 1
    with pytest.raises(errors.Exhausted):
        datapath.ensure_key(connection, "e")
    assert datapath.find_key(connection, "e") is None


def test_leases_sort_as_numbers_whatever_their_length(connection: sa.Connection) -> None:
    blocks = [Block(9, 9), Block(10, 99), Block(2**127, 2**127 + 63)]
    for block in reversed(blocks):
        lease.insert(connection, PoolKind.SUBNET, "s", ONE, block, now=T0)
    held = lease.list_leases(connection, kind=PoolKind.SUBNET, pool_ids=["s"], site=ONE)
    assert [one.block for one in held] == blocks
    assert lease.to_state(held[2])["first"] == str(2**127)
    lease.shrink(connection, held[1].id, 20)
    lease.delete(connection, [held[0].id])
    lease.insert(connection, PoolKind.SUBNET, "s", TWO, Block(5, 6), now=T0)
    lease.delete_unheld(connection, PoolKind.SUBNET, "s", {ONE})
    assert [one.block for one in lease.list_leases(connection)] == [Block(10, 20), blocks[2]]


def test_the_same_block_is_never_leased_twice(connection: sa.Connection) -> None:
    lease.insert(connection, PoolKind.SUBNET, "s", ONE, Block(1, 4), now=T0)
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        lease.insert(connection, PoolKind.SUBNET, "s", TWO, Block(1, 2), now=T0)


def test_a_location_tells_whether_it_changed(connection: sa.Connection) -> None:
    assert location.record(connection, place("p", ONE))
    assert not location.record(connection, place("p", ONE))
    assert location.record(connection, place("p", TWO))
    assert location.list_locations(connection, ["p", "q"]) == {"p": place("p", TWO)}
    location.delete(connection, {"p"})
    assert location.list_locations(connection, ["p"]) == {}


def test_shadows_of_a_network_are_noted_in_one_statement(connection: sa.Connection) -> None:
    for port_id, where in (("a", ONE), ("b", ONE), ("c", TWO)):
        location.record(connection, place(port_id, where))
    location.record(connection, place("x", ONE, "other"))
    for where in (ONE, TWO):
        mapping.record(connection, NETWORK, ["n", "other"], where, now=T0)
    wanted = location.select_shadows(at=TWO, network_id="n")
    journal.record_selected(connection, ResourceType.SHADOW, wanted)
    rows = connection.execute(sa.select(JOURNAL.c.lane, JOURNAL.c.resource_id)).all()
    assert sorted(map(tuple, rows)) == [(TWO, "a"), (TWO, "b")]


def test_the_last_site_frees_the_key(connection: sa.Connection) -> None:
    datapath.ensure_key(connection, "n")
    for where in (ONE, TWO):
        mapping.record(connection, NETWORK, ["n"], where, now=T0)
        mapping.record(connection, SUBNET, ["s"], where, now=T0)
    lease.insert(connection, PoolKind.PORT_KEY, "n", ONE, Block(1, 9), now=T0)
    lease.insert(connection, PoolKind.SUBNET, "s", ONE, Block(1, 9), now=T0)
    lease.insert(connection, PoolKind.SUBNET, "s", TWO, Block(10, 19), now=T0)
    forget.forget_objects(connection, [IntentKey(ONE, SUBNET, "s"), IntentKey(ONE, NETWORK, "n")])
    assert [one.site for one in lease.list_leases(connection)] == [TWO]
    assert datapath.find_key(connection, "n") is not None
    forget.forget_objects(connection, [IntentKey(TWO, SUBNET, "s"), IntentKey(TWO, NETWORK, "n")])
    for table in (LEASES, SITE_MAPPINGS, DATAPATHS):
        assert connection.execute(sa.select(table)).all() == []


def test_a_forgotten_site_leaves_no_row(connection: sa.Connection) -> None:
    for where, network in ((ONE, "alone"), (ONE, "n"), (TWO, "n")):
        mapping.record(connection, NETWORK, [network], where, now=T0)
        datapath.ensure_key(connection, network)
    location.record(connection, place("a", ONE))
    location.record(connection, place("c", TWO))
    journal.record(connection, [IntentKey(ONE, NETWORK, "n")])
    forget.forget_site(connection, ONE, welcome=lambda *_: None)
    assert mapping.list_sites(connection, NETWORK, ["alone", "n"]) == {"n": {TWO: False}}
    assert location.list_locations(connection, ["a", "c"]).keys() == {"c"}
    assert datapath.list_keys(connection, ["alone", "n"]).keys() == {"n"}
    (told,) = connection.execute(sa.select(JOURNAL)).all()
    assert (told.lane, told.type, told.resource_id) == ("site2", "shadow", "a")


_ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12)
_SORTS = st.lists(
    st.tuples(st.sampled_from(["project_id", "base", "id"]), st.booleans()),
    max_size=2,
    unique_by=lambda one: one[0],
)


@given(rows=_ROWS, sorts=_SORTS, limit=st.integers(1, 4))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pages_make_up_the_list_in_either_direction(
    rows: list[tuple[int, int]], sorts: list[tuple[str, bool]], limit: int
) -> None:
    engine = sa.create_engine("sqlite://")
    METADATA.create_all(engine, tables=[SITE_MAPPINGS])
    with engine.begin() as connection:
        for number, (one, two) in enumerate(rows):
            connection.execute(
                sa.insert(SITE_MAPPINGS).values(
                    type="port",
                    resource_id=str(number),
                    site="s",
                    id=f"{number:03d}",
                    project_id=str(one),
                    base=json.dumps(two),
                    created_at=T0,
                )
            )
        columns = {name: SITE_MAPPINGS.c[name] for name in ("id", "project_id", "base")}
        whole = [
            row["id"] for row in select_page(connection, columns, page=Page(sorts=tuple(sorts)))
        ]
        assert sorted(whole) == sorted(f"{number:03d}" for number in range(len(rows)))
        for reverse in (False, True):
            seen: list[str] = []
            marker = None
            while True:
                page = Page(sorts=tuple(sorts), limit=limit, marker=marker, reverse=reverse)
                ids = [row["id"] for row in select_page(connection, columns, page=page)]
                if not ids:
                    break
                seen = [*ids, *seen] if reverse else [*seen, *ids]
                marker = ids[0] if reverse else ids[-1]
            assert seen == whole
    engine.dispose()


def test_filters_are_read_as_their_columns_have_them(connection: sa.Connection) -> None:
    mapping.record(connection, NETWORK, ["a", "b"], ONE, now=T0)
    mapping.withdraw(connection, NETWORK, ["a"], ONE)
    columns = dict(SITE_MAPPINGS.c)

    def found(**filters: list[str]) -> list[str]:
        rows = select_page(connection, columns, filters=filters)
        return sorted(row["resource_id"] for row in rows)

    assert found(withdrawn=["true"]) == ["a"]
    assert found(withdrawn=["False"]) == ["b"]
    assert found(created_at=["2026-01-01T01:00:00+01:00"]) == ["a", "b"]
    assert found(created_at=["2026-01-02"]) == []
    assert found(resource_id=["a", "c"], unheard_of=["x"]) == ["a"]
    for filters in ({"withdrawn": ["maybe"]}, {"created_at": ["yesterday"]}):
        with pytest.raises(errors.Invalid):
            found(**filters)


@pytest.mark.parametrize("key", ["project_id", "withdrawn", "created_at"])
@pytest.mark.parametrize("ascending", [True, False])
def test_pages_go_on_behind_a_row_without_a_value(
    connection: sa.Connection, key: str, ascending: bool
) -> None:
    """A marker whose value is NULL, or true or false."""
    mapping.record(connection, NETWORK, ["a", "b"], ONE, now=T0)
    mapping.record(connection, NETWORK, ["c", "d"], ONE, owners={"c": "p", "d": "p"}, now=T0)
    mapping.withdraw(connection, NETWORK, ["b", "d"], ONE)
    columns = dict(SITE_MAPPINGS.c)
    sorts = ((key, ascending),)
    whole = [row["id"] for row in select_page(connection, columns, page=Page(sorts=sorts))]
    seen: list[str] = []
    while found := select_page(
        connection, columns, page=Page(sorts=sorts, limit=1, marker=seen[-1] if seen else None)
    ):
        seen.append(found[0]["id"])
    assert seen == whole


def test_pages_refuse_what_is_not_there(connection: sa.Connection) -> None:
    columns = dict(SITE_MAPPINGS.c)
    with pytest.raises(errors.Invalid, match="sort"):
        select_page(connection, columns, page=Page(sorts=(("nothing", True),)))
    with pytest.raises(errors.Invalid, match="marker"):
        select_page(connection, columns, page=Page(marker="nowhere"))


def test_what_was_in_use_is_tried_again_when_something_is_gone(connection: sa.Connection) -> None:
    """A network's removal takes along what stood in the way of its subnets' removals."""
    subnet, group = (
        IntentKey(ONE, ResourceType.SUBNET, "s"),
        IntentKey(ONE, ResourceType.SECURITY_GROUP, "g"),
    )
    elsewhere = IntentKey(TWO, ResourceType.SUBNET, "s")
    journal.record(connection, [subnet, group, elsewhere])
    connection.execute(
        sa.update(JOURNAL).values(parked=True, attempts=5, last_error=f"{errors.InUse.code}: x")
    )
    other = sa.update(JOURNAL).where(JOURNAL.c.type == ResourceType.SECURITY_GROUP.value)
    connection.execute(other.values(last_error=f"{errors.Conflict.code}: x"))
    forget.forget_objects(connection, [IntentKey(ONE, NETWORK, "n")])
    parked = sa.select(JOURNAL.c.lane, JOURNAL.c.type).where(JOURNAL.c.parked.is_(sa.true()))
    assert {tuple(row) for row in connection.execute(parked)} == {
        (ONE, "security_group"),
        (TWO, "subnet"),
    }
    job_store.retry_parked(connection, ONE)
    assert {tuple(row) for row in connection.execute(parked)} == {(TWO, "subnet")}
    assert set(connection.scalars(sa.select(JOURNAL.c.attempts))) == {5}


def test_a_port_key_is_held_by_one_port_of_a_network(connection: sa.Connection) -> None:
    first = place("p1", ONE)
    assert location.record(connection, first)
    with pytest.raises(errors.Stale, match="p1"):
        location.record(connection, replace(place("p2", ONE), port_key=first.port_key))
    assert location.list_locations(connection, ["p1", "p2"]) == {"p1": first}
    elsewhere = replace(place("p3", ONE, "another"), port_key=first.port_key)
    assert location.record(connection, elsewhere)
    location.delete(connection, ["p1"])
    assert location.record(connection, replace(place("p2", ONE), port_key=first.port_key))


def test_the_key_of_a_place_that_goes_rests(connection: sa.Connection) -> None:
    def rests(network_id: str = "n") -> set[tuple[int, str]]:
        return set(resting.list_in(connection, network_id, Block(0, 2**15)))

    first, second = place("p1", ONE), place("p2", ONE)
    for one in (first, second, place("p3", TWO, "another")):
        location.record(connection, one)
    assert not location.record(connection, first)
    assert rests() == set()
    moved = place("p1", TWO)
    location.record(connection, moved)
    assert rests() == {(first.port_key, "p1")}
    location.delete(connection, ["p1", "never"])
    assert rests() == {(first.port_key, "p1"), (moved.port_key, "p1")}
    forget.forget_site(connection, ONE, welcome=lambda *_: None)
    assert (second.port_key, "p2") in rests()
    assert rests("another") == set()
    forget.forget_objects(connection, [IntentKey(TWO, NETWORK, "n")])  # it is gone, and at no site
    assert rests() == set()


def test_a_hypervisor_belongs_to_one_site_while_it_has_ports(connection: sa.Connection) -> None:
    own = place("p1", ONE)
    location.record(connection, own)
    theirs = place("p2", TWO)
    for stolen in (
        replace(theirs, chassis=own.chassis),
        replace(theirs, encap_ip=own.encap_ip),
    ):
        with pytest.raises(errors.Conflict, match="site1"):
            location.record(connection, stolen)
    assert hypervisor.find_owner(connection, TWO, own.chassis, "192.0.2.99") == ONE
    # Its own site may number it anew, and give its number to another.
    moved = replace(own, encap_ip="192.0.2.50")
    assert location.record(connection, moved)
    assert location.record(
        connection, replace(place("p3", ONE), chassis="c2", encap_ip="192.0.2.1")
    )
    # With its last port gone it is nobody's.
    location.delete(connection, ["p1"])
    taken = replace(theirs, chassis=own.chassis, encap_ip="192.0.2.50")
    assert hypervisor.find_owner(connection, TWO, taken.chassis, taken.encap_ip) is None
    assert location.record(connection, taken)
    with pytest.raises(errors.Conflict, match="site2"):
        location.record(connection, moved)


def test_what_a_site_makes_up_does_not_pile_up(connection: sa.Connection) -> None:
    for number in range(20):
        made_up = replace(place("p1", ONE), chassis=f"c{number}", encap_ip=f"198.51.100.{number}")
        location.record(connection, made_up)
    assert len(connection.execute(sa.select(HYPERVISORS)).all()) <= 2


def test_a_site_has_only_so_many_refusals(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal, "MOST", 3)
    for number in range(5):
        refused = ItemResult(PORT, f"p{number}", "isthmus.refused", "no")
        refusal.record(connection, ONE, refused, now=T0)
    refusal.record(connection, TWO, refused, now=T0)
    assert refusal.count(connection) == {ONE: 3, TWO: 1}
    refusal.record(connection, ONE, ItemResult(PORT, "p1", "isthmus.refused", "why"), now=T0)
    reasons = set(connection.scalars(sa.select(REFUSALS.c.reason)))
    assert reasons == {"isthmus.refused: no", "isthmus.refused: why"}
    assert refusal.delete(connection, ONE, "p1")
    refusal.record(connection, ONE, ItemResult(PORT, "p4", "isthmus.refused", "no"), now=T0)
    assert refusal.count(connection) == {ONE: 3, TWO: 1}
