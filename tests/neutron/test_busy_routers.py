"""Everybody changes one router at once, on MariaDB."""

import functools
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, sound
from tests.neutron.outside import (
    add_gateway,
    make_inside,
    make_outside,
    put_floating,
    set_gateway,
)
from tests.neutron.server import ADMIN, Reply, tenant
from tests.neutron.test_routers import join, leave, make_network

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(1800)]

__all__ = ["central", "sound"]

_THREADS, _ROUNDS, _CALLS = 4, 3, 4
#: What two persons who change one thing at once may be told.
_ALLOWED = frozenset({200, 201, 204, 400, 404, 409, 503})


class BusyRouter:
    """A router, what it can have, and what can be done with it."""

    def __init__(self, central: CentralServer) -> None:
        self.central = central
        self.user = tenant(uuid.uuid4().hex)
        self.outside = [make_outside(central, site)[0] for site in (1, 1, 2)]
        self.router, self.network, _ = make_inside(central, self.user, "site1")
        _, self.second = make_network(central, self.user, "10.2.0.0/24")
        self.port = central.create("port", self.user, network_id=self.network["id"])
        self.floating = [
            central.create("floatingip", self.user, floating_network_id=one["id"])
            for one in self.outside
        ]

    def list_calls(self) -> list[Callable[[], Reply]]:
        central, router, user = self.central, self.router, self.user
        path = f"/v2.0/routers/{router['id']}"
        put = functools.partial(central.call, "PUT")
        first = {"network_id": self.outside[0]["id"]}
        return [
            *(functools.partial(set_gateway, central, router, ADMIN, one) for one in self.outside),
            functools.partial(set_gateway, central, router, ADMIN, None),
            functools.partial(add_gateway, central, router, self.outside[2], ADMIN),
            functools.partial(add_gateway, central, router, self.outside[0], ADMIN),
            lambda: put(
                f"{path}/remove_external_gateways", {"router": {"external_gateways": [first]}}
            ),
            lambda: put(path, {"router": {"name": uuid.uuid4().hex}}, user),
            lambda: join(central, router, user, subnet_id=self.second["id"]),
            lambda: leave(central, router, user, subnet_id=self.second["id"]),
            *(
                functools.partial(put_floating, central, one, user, port_id=port)
                for one in self.floating
                for port in (self.port["id"], None)
            ),
        ]

    def change_at_once(self, seed: int) -> Counter[int]:
        """Make some calls, each drawn, in some threads; give how often each was answered how."""
        calls, found = self.list_calls(), Counter[int]()
        lock = threading.Lock()

        def work(number: int) -> None:
            rng = random.Random(seed * 100 + number)
            for _ in range(_CALLS):
                reply = rng.choice(calls)()
                assert reply.status in _ALLOWED, reply.text
                with lock:
                    found[reply.status] += 1

        with ThreadPoolExecutor(_THREADS) as pool:
            for one in [pool.submit(work, number) for number in range(_THREADS)]:
                one.result()
        return found

    def clear(self) -> Reply:
        """Take all gateways away; without `external_gateway_info` further ones would stay."""
        path = f"/v2.0/routers/{self.router['id']}/update_external_gateways"
        return self.central.call("PUT", path, {"router": {"external_gateways": []}})

    def check(self) -> None:
        """See that the router is whole: what Neutron shows of it is what its ports are."""
        central, router_id = self.central, self.router["id"]
        shown = central.call("GET", f"/v2.0/routers/{router_id}", user=ADMIN).only()
        owner = "device_owner=network:router_gateway"
        ports = central.call("GET", f"/v2.0/ports?device_id={router_id}&{owner}").only()
        gates = Counter(one["network_id"] for one in shown["external_gateways"])
        assert Counter(one["network_id"] for one in ports) == gates, shown
        exits = central.call("GET", f"/v2.0/router-exits/{router_id}").only()
        assert Counter(one["network_id"] for one in exits["gateways"]) == gates
        assert all(one["idle"] is None for one in exits["floating_ips"]), exits["floating_ips"]


def test_a_router_is_whole_whoever_changes_it_at_once(central: CentralServer) -> None:
    busy = BusyRouter(central)
    answers = Counter[int]()
    for seed in range(_ROUNDS):
        answers += busy.change_at_once(seed)
        busy.check()
        central.acknowledge_all()
    assert answers[200] > _ROUNDS, answers
    for one in busy.floating:
        assert put_floating(central, one, busy.user, port_id=None).status == 200
    assert busy.clear().status == 200
    busy.check()
    shown = central.call("GET", f"/v2.0/routers/{busy.router['id']}", user=ADMIN).only()
    assert (shown["external_gateways"], shown["external_gateway_info"]) == ([], None)
