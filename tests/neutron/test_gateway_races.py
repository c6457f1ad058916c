"""Gateways and floating IPs that are asked for at the same time, on MariaDB."""

import functools
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, mariadb_url, new_database, sound
from tests.neutron.outside import (
    add_gateway,
    make_inside,
    make_outside,
    plan_at,
    put_floating,
    set_gateway,
)
from tests.neutron.server import ADMIN, Reply, tenant

from isthmus.store.sql.tables import DATAPATHS, TRANSIT_PORTS

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress]

__all__ = ["central", "mariadb_url", "new_database", "sound"]


def at_once(*calls: Callable[[], Reply]) -> list[Reply]:
    """Make calls at the same moment, as far as threads can."""
    ready = Barrier(len(calls))

    def call(one: Callable[[], Reply]) -> Reply:
        ready.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def only_one(replies: list[Reply], name: str) -> None:
    assert sorted(one.status for one in replies) == [200, 409], [one.text for one in replies]
    assert [f"({name})" in one.text for one in replies if one.status == 409] == [True]


@pytest.mark.parametrize("turn", range(5))
def test_one_of_two_ways_back_wins(central: CentralServer, turn: int) -> None:
    user = tenant(uuid.uuid4().hex)
    outside = [make_outside(central, site)[0] for site in (1, 2)]
    router, network, _ = make_inside(central, user, "site1")
    for one in outside:
        assert add_gateway(central, router, one, ADMIN).status == 200
    port = central.create("port", user, network_id=network["id"])
    floating = [
        central.create("floatingip", user, floating_network_id=one["id"]) for one in outside
    ]
    put = functools.partial(put_floating, central, user=user, port_id=port["id"])
    replies = at_once(*(functools.partial(put, one) for one in floating))
    only_one(replies, "floating-ip-other-way")


@pytest.mark.parametrize("turn", range(5))
def test_one_of_two_gateways_of_a_site_wins(central: CentralServer, turn: int) -> None:
    user = tenant(uuid.uuid4().hex)
    first, second = (make_outside(central, 1)[0] for _ in range(2))
    elsewhere, _ = make_outside(central, 2)
    router, _, _ = make_inside(central, user, "site1")
    assert set_gateway(central, router, ADMIN, elsewhere).status == 200
    replies = at_once(
        lambda: add_gateway(central, router, first, ADMIN),
        lambda: add_gateway(central, router, second, ADMIN),
    )
    only_one(replies, "two-exits-at-one-site")
    shown = central.call("GET", f"/v2.0/routers/{router['id']}", user=ADMIN).only()
    assert len(shown["external_gateways"]) == 2


def test_routers_that_need_transit_keys_at_once_get_different_ones(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 2)
    routers = [make_inside(central, user, "site1", cidr=f"10.{n}.0.0/24")[0] for n in range(6)]
    leave_by = functools.partial(set_gateway, central, user=ADMIN, network=outside)
    replies = at_once(*(functools.partial(leave_by, one) for one in routers))
    assert {one.status for one in replies} == {200}, [one.text for one in replies]
    ids = [one["id"] for one in routers]
    with central.database() as connection:
        keys = connection.scalars(
            sa.select(DATAPATHS.c.datapath_key).where(DATAPATHS.c.network_id.in_(ids))
        ).all()
        ports = connection.execute(
            sa.select(TRANSIT_PORTS.c.router_id, TRANSIT_PORTS.c.port_key).where(
                TRANSIT_PORTS.c.router_id.in_(ids)
            )
        ).all()
    assert len(set(keys)) == len(routers)
    assert len(set(ports)) == 2 * len(routers)
    transits: list[Any] = [plan_at(central, "site1", one).transit for one in routers]
    assert {one.datapath_key for one in transits} == set(keys)
