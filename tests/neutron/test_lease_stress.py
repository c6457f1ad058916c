"""Tenants name addresses just ahead of the blocks of two sites that ask for more: none is twice.

On MariaDB at its default level and at READ COMMITTED: whoever decides from what it read before it
had the lock gives one number to two holders within seconds.
"""

import collections
import ipaddress
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.neutron import invariants
from tests.neutron.central_server import CentralServer
from tests.neutron.server import tenant

from isthmus.store.sql.tables import LEASES

pytestmark = [pytest.mark.neutron, pytest.mark.db]


LOG = logging.getLogger(__name__)

#: How long those of a race may take to meet; on an idle machine they do within seconds.
PATIENCE_S = 240.0

#: The default alone where time is short.
LEVELS = ("REPEATABLE READ", pytest.param("READ COMMITTED", marks=pytest.mark.stress))


@pytest.fixture(params=LEVELS)
def central(
    request: pytest.FixtureRequest, new_database: Callable[[], str], tmp_path: Path
) -> Iterator[CentralServer]:
    """A central on MariaDB at one level, with two sites."""
    url = new_database()
    level = request.param.replace(" ", "-")
    server = CentralServer(
        tmp_path / "central",
        tmp_path / "no-template",
        url=url,
        extra={"isthmus": {"recall_wait_s": 0}},  # nobody is there to give anything back
    )
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET GLOBAL tx_isolation = '{level}'")
    try:
        server.start()
        server.make_sites()
        yield server
    finally:
        server.kill()
        with engine.begin() as connection:
            connection.exec_driver_sql("SET GLOBAL tx_isolation = 'REPEATABLE-READ'")
        engine.dispose()


def race(central: CentralServer, *, seconds: float) -> collections.Counter[str]:
    """Let two tenants and two sites ask for the same numbers.

    They go on after that until they met: on a busy machine each comes a few times only, and all
    of them may have come first.
    """
    project = uuid.uuid4().hex
    user = tenant(project)
    central.call("PUT", f"/v2.0/quotas/{project}", {"quota": {"port": -1}})
    network = central.create("network", user, name="n")
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr="10.0.0.0/19", ip_version=4
    )
    for site in ("site1", "site2"):
        central.bundle(site, "network", network["id"], project=project)
    began = time.monotonic()
    answers: collections.Counter[str] = collections.Counter()
    query = sa.select(sa.func.max(LEASES.c.last)).where(
        LEASES.c.pool_id == subnet["id"], LEASES.c.site.like("site%")
    )
    took = [0.5]  #: how long a port took the last time: a site asks about twice meanwhile

    def going_on() -> bool:
        gone = time.monotonic() - began
        return gone < seconds or (gone < PATIENCE_S and not raced(answers))

    def name() -> None:
        while going_on():
            with central.database() as connection:
                number = int(connection.execute(query).scalar_one()) + random.randint(1, 40)
            wanted = [{"subnet_id": subnet["id"], "ip_address": str(ipaddress.ip_address(number))}]
            asked = time.monotonic()
            reply = central.try_create("port", user, network_id=network["id"], fixed_ips=wanted)
            took.append(time.monotonic() - asked)
            answers[f"port {reply.status}"] += 1

    def ask(site: str) -> None:
        while going_on():
            reply = central.lease_request(site, kind="subnet", pool_id=subnet["id"], count=10)
            answers[f"lease request {reply.status}"] += 1
            threading.Event().wait(random.uniform(0, took[-1]))

    threads = [threading.Thread(target=name) for _ in range(2)]
    threads += [threading.Thread(target=ask, args=(site,)) for site in ("site1", "site2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def raced(answers: collections.Counter[str]) -> bool:
    """Say whether they met: some came first, some came too late."""
    late = answers["port 409"] + answers["port 503"]
    return min(answers["port 201"], late, answers["lease request 201"]) > 0


def test_no_number_has_two_holders(central: CentralServer) -> None:
    answers = race(central, seconds=6)
    assert raced(answers), answers
    invariants.check(central)


@pytest.mark.stress
@pytest.mark.timeout(1800)
def test_no_number_has_two_holders_in_twenty_rounds(central: CentralServer) -> None:
    met: collections.Counter[str] = collections.Counter()
    for _ in range(20):
        answers = race(central, seconds=12)
        assert answers["port 201"] + answers["lease request 201"] > 0, answers
        met += answers
        invariants.check(central)
    LOG.info("%s", dict(met))
    assert raced(met), met
