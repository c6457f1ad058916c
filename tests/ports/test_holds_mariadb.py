"""What a site holds is counted as it is, not as it was when the transaction began."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from isthmus.model.site import SiteName
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.clock import utc_now
from isthmus.store.sql.tables import LEASES, METADATA, SITE_MAPPINGS
from isthmus.store.tiers import forget

pytestmark = pytest.mark.db

ONE, TWO = SiteName("site1"), SiteName("site2")
NOTHING = forget.Holds(
    leases=0, addresses=0, port_keys=0, ports=0, networks=0, networks_only_here=0
)


@pytest.fixture(params=["REPEATABLE READ", "READ COMMITTED"])
def engine(mariadb_url: str, request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = sa.create_engine(mariadb_url, isolation_level=request.param)
    METADATA.create_all(engine)
    with engine.begin() as connection:
        for table in (LEASES, SITE_MAPPINGS):
            connection.execute(sa.delete(table))
    yield engine
    with engine.begin() as connection:
        for table in (LEASES, SITE_MAPPINGS):
            connection.execute(sa.delete(table))
    engine.dispose()


def map_to(connection: sa.Connection, kind: str, resource_id: str, site: SiteName) -> None:
    row = {"id": f"{resource_id}-{site}", "type": kind, "resource_id": resource_id, "site": site}
    more = {"withdrawn": False, "created_at": utc_now()}
    connection.execute(sa.insert(SITE_MAPPINGS).values(row | more))


def lease_to(connection: sa.Connection, number: int, kind: str, site: SiteName, size: int) -> None:
    first = number * 1000
    row = {"id": f"lease{number}", "kind": kind, "pool_id": f"pool-{kind}", "site": site}
    ends = {"first": to_text(first), "last": to_text(first + size - 1)}
    connection.execute(sa.insert(LEASES).values(row | ends | {"created_at": utc_now()}))


def test_what_was_committed_meanwhile_counts(engine: sa.Engine) -> None:
    with engine.connect() as late:
        assert forget.count_holds(late, ONE) == NOTHING  # the transaction's own view begins here
        with engine.begin() as connection:
            for kind, resource_id, site in (
                ("network", "n1", ONE),
                ("network", "n2", ONE),
                ("network", "n2", TWO),
                ("network", "n3", TWO),
                ("port", "p1", ONE),
                ("security_group", "g1", ONE),
            ):
                map_to(connection, kind, resource_id, site)
            lease_to(connection, 1, "subnet", ONE, 64)
            lease_to(connection, 2, "subnet", ONE, 8)
            lease_to(connection, 3, "port_key", ONE, 16)
            lease_to(connection, 4, "subnet", TWO, 32)
        assert forget.count_holds(late, ONE, latest=True) == forget.Holds(
            leases=3, addresses=72, port_keys=16, ports=1, networks=2, networks_only_here=1
        )
        late.rollback()
        assert forget.count_holds(late, TWO).networks_only_here == 1
