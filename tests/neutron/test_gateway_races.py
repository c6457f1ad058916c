"""Gateways and floating IPs that are asked for at the same time, on MariaDB."""

import functools
import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron import races
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, sound
from tests.neutron.outside import (
    add_gateway,
    make_inside,
    make_outside,
    plan_at,
    put_floating,
    remove,
    set_gateway,
)
from tests.neutron.server import ADMIN, Reply, tenant
from tests.neutron.test_routers import join, leave

from isthmus.store.sql.tables import (
    DATAPATHS,
    TRANSIT_PORTS,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(1200)]

__all__ = ["central", "sound"]


def at_once(*calls: Callable[[], Reply]) -> list[Reply]:
    """Make calls at the same moment, as far as threads can."""
    ready = Barrier(len(calls))

    def call(one: Callable[[], Reply]) -> Reply:
        ready.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def later(rng: random.Random, call: Callable[[], Reply]) -> Reply:
    """Make a call up to a second later: which of two is first is to differ."""
    threading.Event().wait(rng.uniform(0, 1.0))
    return call()


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


def is_whole(central: CentralServer, router: Any, floating: Any) -> bool:
    """Tell whether a floating IP that is associated has its way."""
    shown = central.call("GET", f"/v2.0/router-exits/{router['id']}").only()
    idle = [one["idle"] for one in shown["floating_ips"] if one["id"] == floating["id"]]
    associated = central.call("GET", f"/v2.0/floatingips/{floating['id']}").only()["port_id"]
    return idle == ([None] if associated else [])


@pytest.mark.parametrize("taken", ["gateway", "gateways", "interface"])
def test_a_floating_ip_and_what_it_needs_do_not_pass_each_other(
    central: CentralServer, taken: str
) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 1)
    router, network, inside = make_inside(central, user, "site1")
    port = central.create("port", user, network_id=network["id"])
    floating = central.create("floatingip", user, floating_network_id=outside["id"])
    here = {"subnet_id": inside["id"]}
    path = f"/v2.0/routers/{router['id']}/remove_external_gateways"
    listed = {"router": {"external_gateways": [{"network_id": outside["id"]}]}}
    take: dict[str, Callable[[], Reply]] = {
        "gateway": lambda: set_gateway(central, router, ADMIN, None),
        "gateways": lambda: central.call("PUT", path, listed, ADMIN),
        "interface": lambda: leave(central, router, user, **here),
    }
    assert set_gateway(central, router, ADMIN, outside).status == 200
    rng = random.Random(9)
    put = functools.partial(put_floating, central, floating, user, port_id=port["id"])
    for turn in range(12):
        if turn % 3 == 0:  # to put it takes longer
            replies = at_once(functools.partial(later, rng, put), take[taken])
        else:
            replies = at_once(put, functools.partial(later, rng, take[taken]))
        assert {one.status for one in replies} <= {200, 400, 404, 409}, [
            one.text for one in replies
        ]
        assert is_whole(central, router, floating), [one.text for one in replies]
        assert put_floating(central, floating, user, port_id=None).status == 200
        if taken == "interface":
            joined = join(central, router, user, **here)
            assert joined.status in (200, 400, 409), joined.text
        else:
            assert set_gateway(central, router, ADMIN, outside).status == 200


def test_a_gateway_and_its_network_do_not_pass_each_other(central: CentralServer) -> None:
    user = tenant(uuid.uuid4().hex)
    router, _, _ = make_inside(central, user, "site2")
    rng = random.Random(10)
    for _ in range(12):
        outside, _ = make_outside(central, 1)
        path = f"/v2.0/site-presences?network_id={outside['id']}"
        (presence,) = central.call("GET", path).only()
        gone = f"/v2.0/site-presences/{presence['id']}"
        set_it = functools.partial(set_gateway, central, router, ADMIN, outside)
        take = functools.partial(central.call, "DELETE", gone)
        replies = at_once(set_it, functools.partial(later, rng, take))
        statuses = [one.status for one in replies]
        assert set(statuses) <= {200, 204, 400, 404, 409}, [one.text for one in replies]
        assert statuses.count(200) + statuses.count(204) == 1, [one.text for one in replies]
        shown = central.call("GET", f"/v2.0/router-exits/{router['id']}").only()
        assert [one["site"] for one in shown["gateways"]] == ["site1"] * statuses.count(200)
        assert set_gateway(central, router, ADMIN, None).status == 200
        central.acknowledge_all()


def test_a_gateway_and_the_deletion_of_its_network_do_not_pass_each_other(
    central: CentralServer,
) -> None:
    user = tenant(uuid.uuid4().hex)
    router, _, _ = make_inside(central, user, "site2")
    rng = random.Random(11)
    for turn in range(16):
        outside, _ = make_outside(central, 1)
        set_it = functools.partial(set_gateway, central, router, ADMIN, outside)
        delete = functools.partial(remove, central, "network", outside["id"], ADMIN)
        if turn % 2:
            replies = at_once(set_it, functools.partial(later, rng, delete))
        else:
            replies = at_once(functools.partial(later, rng, set_it), delete)
        assert {one.status for one in replies} <= {200, 204, 404, 409}, [
            one.text for one in replies
        ]
        statuses = [one.status for one in replies]
        assert statuses.count(200) + statuses.count(204) == 1, [one.text for one in replies]
        assert set_gateway(central, router, ADMIN, None).status == 200
        central.acknowledge_all()


def test_an_operator_changes_one_thing_of_a_site_at_a_time(central: CentralServer) -> None:
    """Two do, at once: each has what was asked for."""
    path, rng = "/v2.0/sites/site2", random.Random(12)
    try:
        for turn in range(20):
            state = ("draining", "enabled")[turn % 2]
            replies = races.at_once(
                rng,
                0.1,
                functools.partial(central.call, "PUT", path, {"site": {"state": state}}),
                functools.partial(
                    central.call, "PUT", path, {"site": {"description": f"turn {turn}"}}
                ),
            )
            assert {one.status for one in replies} == {200}, [one.text for one in replies]
            shown = central.call("GET", path).only()
            assert (shown["state"], shown["description"]) == (state, f"turn {turn}")
    finally:
        central.call("PUT", path, {"site": {"state": "enabled"}})
