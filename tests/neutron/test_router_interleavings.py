"""Two persons change what belongs to one router, step by step, on MariaDB's REPEATABLE READ.

The second one is a transaction of the test's own: it holds a row until the first one waits for it,
whose plain reads are older then than what the second one commits.
"""

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, sound
from tests.neutron.outside import (
    make_inside,
    make_outside,
    remove,
    set_gateway,
    told,
)
from tests.neutron.server import ADMIN, Reply, tenant
from tests.neutron.test_gateway_races import is_whole
from tests.neutron.test_routers import leave

from isthmus.store.sql.engine import open_engine
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(900)]

__all__ = ["central", "sound"]

_FLOATING = sa.table(
    "floatingips", *map(sa.column, ("id", "fixed_port_id", "fixed_ip_address", "router_id"))
)
_PORTS = sa.table("ports", sa.column("id"))
_WAITING = sa.text("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = :state")


@contextlib.contextmanager
def overtaken(
    central: CentralServer, hold: "sa.Select[Any] | sa.Update", call: Callable[[], Any]
) -> Iterator[tuple[sa.Connection, Future[Any]]]:
    """Have a call wait for what a transaction holds, which is committed at the end of the block."""
    engine = open_engine(central.url)
    with ThreadPoolExecutor(1) as pool:
        try:
            with engine.begin() as connection:
                connection.execute(hold)
                started = pool.submit(call)

                def waits() -> bool:
                    assert not started.done(), started.result()
                    # MariaDB answers from memory if it was asked within a tenth of a second.
                    threading.Event().wait(0.3)
                    with engine.connect() as other:
                        return bool(other.scalar(_WAITING, {"state": "LOCK WAIT"}))

                until(waits, timeout_s=60, what="the call waits for the transaction")
                yield connection, started
        finally:
            engine.dispose()


class World:
    """A router with an interface and a gateway at a site, and a floating IP of nobody's."""

    def __init__(self, central: CentralServer) -> None:
        self.user = tenant(uuid.uuid4().hex)
        self.outside, _ = make_outside(central, 1)
        self.router, self.network, self.subnet = make_inside(central, self.user, "site1")
        assert set_gateway(central, self.router, ADMIN, self.outside).status == 200
        self.floating = central.create(
            "floatingip", self.user, floating_network_id=self.outside["id"]
        )

    def associate(self, port: Any) -> sa.Update:
        """Give what associates the floating IP with a port."""
        values = {
            "fixed_port_id": port["id"],
            "fixed_ip_address": port["fixed_ips"][0]["ip_address"],
            "router_id": self.router["id"],
        }
        which = _FLOATING.c.id == self.floating["id"]
        return sa.update(_FLOATING).where(which).values(**values)


def test_an_interface_stays_that_a_port_needs_which_is_younger(central: CentralServer) -> None:
    """The port and its floating IP were made after the removal of the interface had begun."""
    world = World(central)
    path = f"/v2.0/ports?device_id={world.router['id']}&network_id={world.network['id']}"
    (interface,) = central.call("GET", path).only()
    hold = sa.select(_PORTS.c.id).where(_PORTS.c.id == interface["id"]).with_for_update()

    def take() -> Any:
        return leave(central, world.router, world.user, subnet_id=world.subnet["id"])

    with overtaken(central, hold, take) as (connection, started):
        port = central.create("port", world.user, network_id=world.network["id"])
        connection.execute(world.associate(port))
    assert started.result().status == 409, started.result().text
    assert is_whole(central, world.router, world.floating)


def test_sites_are_told_of_a_floating_ip_that_is_deleted_while_it_is_associated(
    central: CentralServer,
) -> None:
    world = World(central)
    port = central.create("port", world.user, network_id=world.network["id"])
    told(central, world.router)

    def delete() -> Reply:
        return remove(central, "floatingip", world.floating["id"], world.user)

    with overtaken(central, world.associate(port), delete) as (_, started):
        pass
    assert started.result().status == 204, started.result().text
    assert told(central, world.router) == {"site1"}


def test_a_port_is_deleted_while_a_floating_ip_is_associated(central: CentralServer) -> None:
    world = World(central)
    port = central.create("port", world.user, network_id=world.network["id"])
    told(central, world.router)

    def delete() -> Reply:
        return remove(central, "port", port["id"], world.user)

    with overtaken(central, world.associate(port), delete) as (_, started):
        pass
    assert started.result().status == 204, started.result().text
    shown = central.call("GET", f"/v2.0/floatingips/{world.floating['id']}").only()
    assert (shown["port_id"], shown["status"]) == (None, "DOWN")
    assert told(central, world.router) == {"site1"}
