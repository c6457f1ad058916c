"""What can be done with routers while a restored central waits for its sites."""

import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.outside import (
    add_gateway,
    make_inside,
    make_outside,
    plan_at,
    put_floating,
    set_gateway,
    told,
)
from tests.neutron.server import ADMIN, tenant
from tests.neutron.test_routers import join, leave, make_network

from isthmus.store.sql.tables import DATAPATHS, EPOCHS, REGISTRATIONS, TRANSIT_PORTS

pytestmark = [pytest.mark.neutron, pytest.mark.stress]


class Waiting:
    """Lets central wait for a site, as after a restore, until it is told otherwise."""

    def __init__(self, central: CentralServer) -> None:
        self._central = central

    def set(self, *, waits: bool) -> None:
        with self._central.database(write=True) as connection:
            reason = "it was restored" if waits else None
            connection.execute(sa.update(EPOCHS).values(recovered=not waits, reason=reason))
            which = REGISTRATIONS.c.site == "site2"
            connection.execute(sa.update(REGISTRATIONS).where(which).values(waits=waits))


@pytest.fixture
def waiting(central: CentralServer) -> Iterator[Waiting]:
    found = Waiting(central)
    yield found
    found.set(waits=False)


def test_what_needs_no_key_of_a_router_that_lacks_some_is_done(
    central: CentralServer, waiting: Waiting
) -> None:
    """The backup knows nothing of the router's transit network; sites have it still."""
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 2)
    router, network, subnet = make_inside(central, user, "site1", "site2")
    assert set_gateway(central, router, ADMIN, outside).status == 200
    port = central.create("port", user, network_id=network["id"])
    floating = central.create("floatingip", user, floating_network_id=outside["id"])
    lone, inside = make_network(central, user, "10.1.1.0/24")
    joint = central.create("port", user, network_id=lone["id"])
    assert plan_at(central, "site1", router).transit is not None
    waiting.set(waits=True)
    with central.database(write=True) as connection:
        connection.execute(
            sa.delete(TRANSIT_PORTS).where(TRANSIT_PORTS.c.router_id == router["id"])
        )
        connection.execute(sa.delete(DATAPATHS).where(DATAPATHS.c.network_id == router["id"]))
    told(central, router)
    path = f"/v2.0/routers/{router['id']}"
    route = {"destination": "10.77.0.0/24", "nexthop": "10.1.0.77"}
    for body in ({"name": "other"}, {"admin_state_up": False}, {"routes": [route]}):
        changed = central.call("PUT", path, {"router": body}, user)
        assert changed.status == 200, changed.text
        assert told(central, router) == {"site1", "site2"}
    for port_id in (port["id"], None):
        put = put_floating(central, floating, user, port_id=port_id)
        assert put.status == 200, put.text
        assert told(central, router) == {"site1", "site2"}
    assert plan_at(central, "site1", router).transit is None
    # An interface may be what makes the transit network necessary.
    late = join(central, router, user, port_id=joint["id"])
    assert late.status == 503, late.text
    assert central.call("PUT", path, {"router": {"routes": []}}, user).status == 200
    assert leave(central, router, user, subnet_id=subnet["id"]).status == 200
    told(central, router)
    waiting.set(waits=False)
    assert join(central, router, user, port_id=joint["id"]).status == 200
    assert inside["id"]


def test_what_needs_a_key_waits(central: CentralServer, waiting: Waiting) -> None:
    user = tenant(uuid.uuid4().hex)
    outside, _ = make_outside(central, 1)
    router, _, _ = make_inside(central, user, "site1")
    assert set_gateway(central, router, ADMIN, outside).status == 200
    elsewhere, _ = make_outside(central, 2)
    waiting.set(waits=True)
    refused = add_gateway(central, router, elsewhere, ADMIN)
    assert refused.status == 503, refused.text
    path = f"/v2.0/routers/{router['id']}"
    changed = central.call("PUT", path, {"router": {"name": "x"}}, user)
    assert changed.status == 200, changed.text
    waiting.set(waits=False)
    assert add_gateway(central, router, elsewhere, ADMIN).status == 200
    assert plan_at(central, "site2", router).transit is not None
