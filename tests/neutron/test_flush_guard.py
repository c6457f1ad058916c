"""Statements of the session, on SQLite: none writes a part of what is central's."""

import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from tests.neutron.two_databases import ZERO, Tier

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.local import mapping

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from neutron.db import models_v2

    from isthmus.neutron.local.owned import flush_guard, guards

pytestmark = pytest.mark.neutron

SUBNETS = models_v2.Subnet.__table__
SERVERS, ROUTES = models_v2.DNSNameServer.__table__, models_v2.SubnetRoute.__table__
THERE = {"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}


@pytest.fixture(scope="module")
def tier(neutron_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tier]:
    path = tmp_path_factory.mktemp("guard") / "neutron.db"
    shutil.copy(neutron_template, path)
    opened = Tier(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def session(tier: Tier) -> Iterator[orm.Session]:
    made = orm.Session(tier.engine)
    sa.event.listen(made, "before_flush", flush_guard._before_flush)
    sa.event.listen(made, "do_orm_execute", flush_guard._on_statement)
    with made:
        yield made
        made.rollback()


def make_subnet(tier: Tier, *, owned: bool) -> str:
    network, subnet = str(uuid.uuid4()), str(uuid.uuid4())
    tier.make_subnet(network, subnet, ZERO + 1, ZERO + 9)
    if owned:
        with tier.engine.begin() as connection:
            for kind, one in ((ResourceType.NETWORK, network), (ResourceType.SUBNET, subnet)):
                mapping.add(connection, kind, one, SiteName("site1"), project_id="p")
    return subnet


#: Statements that write a part of a subnet.
WRITES: dict[str, Callable[[orm.Session, str], Any]] = {
    "update of a class": lambda session, one: session.execute(
        sa.update(models_v2.Subnet).where(models_v2.Subnet.id == one).values(name="x")
    ),
    "update of a table": lambda session, one: session.execute(
        sa.update(SUBNETS).where(SUBNETS.c.id == one).values(name="x")
    ),
    "update of a table, with parameters": lambda session, one: session.execute(
        sa.update(SUBNETS).where(SUBNETS.c.id == sa.bindparam("which")).values(name="x"),
        [{"which": one}],
    ),
    "delete from a table": lambda session, one: session.execute(
        sa.delete(SUBNETS).where(SUBNETS.c.id == one)
    ),
    "insert by a class": lambda session, one: session.execute(
        sa.insert(models_v2.DNSNameServer), [{"address": "192.0.2.1", "subnet_id": one}]
    ),
    "insert by a class, of one row": lambda session, one: session.execute(
        sa.insert(models_v2.DNSNameServer).values(address="192.0.2.1", subnet_id=one)
    ),
    "insert of one row": lambda session, one: session.execute(
        sa.insert(SERVERS).values(address="192.0.2.1", subnet_id=one)
    ),
    "insert of rows": lambda session, one: session.execute(
        sa.insert(ROUTES), [{"subnet_id": one, **THERE}]
    ),
    "insert of several rows": lambda session, one: session.execute(
        sa.insert(ROUTES).values(
            [{"subnet_id": one, **THERE}, {"subnet_id": one, **THERE, "nexthop": "10.0.0.8"}]
        )
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_no_statement_writes_a_part_of_what_is_centrals(
    tier: Tier, session: orm.Session, write: str
) -> None:
    with pytest.raises(guards.BelongsToCentral):
        WRITES[write](session, make_subnet(tier, owned=True))


@pytest.mark.parametrize("write", WRITES)
def test_what_is_the_sites_own_is_written(tier: Tier, session: orm.Session, write: str) -> None:
    make_subnet(tier, owned=True)
    WRITES[write](session, make_subnet(tier, owned=False))
