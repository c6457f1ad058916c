"""Where ports are once a restored central has heard of all sites which ports they have."""

from collections.abc import Iterator, Mapping

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows
from tests.ports.test_central_store import ONE, T0, TWO

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.ports import home
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import METADATA, NAMED_PORTS, REGISTRATIONS
from isthmus.store.tiers import mapping, named_port

NETWORK, PORT = ResourceType.NETWORK, ResourceType.PORT
NOBODY: tuple[SiteName, ...] = ()
#: By port: its home, the sites that name it, its home afterwards, and whether that is stale.
CASES: Mapping[str, tuple[SiteName | None, tuple[SiteName, ...], SiteName | None, bool]] = {
    "stays": (ONE, (ONE,), ONE, True),
    "is-gone-there": (ONE, NOBODY, ONE, False),
    "moved": (ONE, (TWO,), TWO, True),
    "is-claimed-as-well": (ONE, (ONE, TWO), ONE, True),
    "came-home-since": (None, (ONE,), ONE, True),
    "is-claimed-by-two": (None, (ONE, TWO), None, False),
    "is-at-no-site": (None, NOBODY, None, False),
}


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """A central that was restored, two sites that have said which ports they have."""
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("mariadb_url")
    made = open_engine(url)
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.create_all(made)
    with writing(made) as connection:
        networks = [{"id": "n"}, {"id": "elsewhere"}]
        connection.execute(sa.insert(neutron_rows.TABLES["networks"]), networks)
        ports = [{"id": one, "network_id": "n"} for one in CASES]
        ports.append({"id": "on-no-network-of-the-site", "network_id": "elsewhere"})
        connection.execute(sa.insert(neutron_rows.TABLES["ports"]), ports)
        for site in (ONE, TWO):
            mapping.record(connection, NETWORK, ["n"], site, owners={"n": None}, now=T0)
            connection.execute(
                sa.insert(REGISTRATIONS).values(
                    site=site, registration=site, epoch=1, waits=False, named_ports=True
                )
            )
        rows = [(one, site) for one, (_, sites, *_) in CASES.items() for site in sites]
        rows += [("on-no-network-of-the-site", ONE), ("made-since", ONE)]
        for port_id, (at, *_) in CASES.items():
            if at is not None:
                home.assign(connection, port_id, at, project_id=None, now=T0, stale=True)
        connection.execute(
            sa.insert(NAMED_PORTS), [{"port_id": one, "site": site} for one, site in rows]
        )
    yield made
    for metadata in (METADATA, neutron_rows.METADATA):
        metadata.drop_all(made)
    made.dispose()


def test_homes_follow_the_ports(engine: sa.Engine) -> None:
    welcomed: list[named_port.Move] = []
    with writing(engine) as connection:
        moves = named_port.follow(connection, lambda _, move: welcomed.append(move))
    assert moves == welcomed
    assert {(one.port_id, one.old, one.new) for one in moves} == {
        ("moved", ONE, TWO),
        ("came-home-since", None, ONE),
    }
    with reading(engine) as connection:
        homes = {
            port_id: next(iter(sites))
            for port_id, sites in mapping.peek_sites(connection, PORT, list(CASES)).items()
            if sites
        }
        stale = home.find_stale(connection, list(CASES))
        left = set(connection.scalars(sa.select(NAMED_PORTS.c.port_id)))
    assert homes == {one: after for one, (_, _, after, _) in CASES.items() if after}
    assert stale == {one for one, (*_, is_stale) in CASES.items() if is_stale}
    assert left == {"made-since"}
