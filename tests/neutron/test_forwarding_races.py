"""Port forwardings and what takes them away, asked for at the same time, on MariaDB."""

import functools
import random

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, sound
from tests.neutron.outside import put_floating, remove
from tests.neutron.test_gateway_races import at_once, later
from tests.neutron.test_port_forwardings import Scene, forward, forwarded_at, path_of, show

from isthmus.store.sql.neutron_tables import FLOATING_IPS, PORT_FORWARDINGS

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(1200)]

__all__ = ["central", "sound"]


def test_a_port_and_a_forwarding_to_it_do_not_pass_each_other(central: CentralServer) -> None:
    """The foreign key would delete the forwarding unheard; its floating IP would stay."""
    scene = Scene(central)
    rng = random.Random(12)
    for turn in range(12):
        port = central.create("port", scene.user, network_id=scene.network["id"])
        make = functools.partial(forward, central, scene.floating, scene.user, port, 80)
        delete = functools.partial(remove, central, "port", port["id"], scene.user)
        if turn % 2:
            replies = at_once(make, functools.partial(later, rng, delete))
        else:
            replies = at_once(functools.partial(later, rng, make), delete)
        said = [one.text for one in replies]
        assert replies[1].status == 204, said
        assert replies[0].status in (201, 404, 409), said
        with central.database() as connection:
            left = connection.execute(
                sa.select(PORT_FORWARDINGS.c.id).where(
                    PORT_FORWARDINGS.c.floatingip_id == scene.floating["id"]
                )
            ).all()
            routers = connection.scalars(
                sa.select(FLOATING_IPS.c.router_id).where(FLOATING_IPS.c.id == scene.floating["id"])
            ).all()
        assert (left, routers) == ([], [None]), said
        assert forwarded_at(central, "site1", scene.router) == ()


@pytest.mark.parametrize("what", ["deletions", "ports", "deletion and creation"])
def test_the_last_one_takes_the_router_along(central: CentralServer, what: str) -> None:
    """Neutron tells by plain reads which forwarding is the last one."""
    scene = Scene(central)
    ports = [central.create("port", scene.user, network_id=scene.network["id"]) for _ in range(2)]
    for turn in range(6):
        if what == "ports" and turn:
            ports = [
                central.create("port", scene.user, network_id=scene.network["id"]) for _ in range(2)
            ]
        make = [
            functools.partial(forward, central, scene.floating, scene.user, port, 80 + at)
            for at, port in enumerate(ports)
        ]
        made = [one() for one in (make[:1] if what == "deletion and creation" else make)]
        assert {one.status for one in made} == {201}, [one.text for one in made]
        paths = [path_of(scene.floating, one.only()) for one in made]
        gone = [functools.partial(central.call, "DELETE", one, user=scene.user) for one in paths]
        if what == "ports":
            gone = [
                functools.partial(remove, central, "port", port["id"], scene.user) for port in ports
            ]
        replies = at_once(*([gone[0], make[1]] if what == "deletion and creation" else gone))
        assert {one.status for one in replies} <= {201, 204}, [one.text for one in replies]
        left = show(central, scene.floating)["port_forwardings"]
        has_router = show(central, scene.floating)["router_id"] is not None
        assert has_router == bool(left)
        assert len(forwarded_at(central, "site1", scene.router)) == len(left)
        assert len(left) == (what == "deletion and creation")
        for one in replies:
            if one.status == 201:
                path = path_of(scene.floating, one.only())
                assert central.call("DELETE", path, user=scene.user).status == 204


@pytest.mark.parametrize("turn", range(5))
def test_a_floating_ip_and_a_forwarding_of_one_address_exclude_each_other(
    central: CentralServer, turn: int
) -> None:
    scene = Scene(central)
    other = central.create("floatingip", scene.user, floating_network_id=scene.outside["id"])
    replies = at_once(
        functools.partial(forward, central, scene.floating, scene.user, scene.port, 80),
        functools.partial(put_floating, central, other, scene.user, port_id=scene.port["id"]),
    )
    statuses = sorted(one.status for one in replies)
    assert statuses in ([200, 400], [200, 409], [201, 400], [201, 409]), [
        one.text for one in replies
    ]
    forwards = bool(show(central, scene.floating)["port_forwardings"])
    assert forwards != bool(show(central, other)["port_id"])


@pytest.mark.parametrize("turn", range(4))
def test_a_floating_ip_is_associated_or_forwards(central: CentralServer, turn: int) -> None:
    """Neutron looks for forwardings by a plain read before it associates."""
    scene = Scene(central)
    rng = random.Random(turn)
    other = central.create("port", scene.user, network_id=scene.network["id"])
    make = functools.partial(forward, central, scene.floating, scene.user, scene.port, 80)
    associate = functools.partial(
        put_floating, central, scene.floating, scene.user, port_id=other["id"]
    )
    replies = at_once(make, functools.partial(later, rng, associate) if turn % 2 else associate)
    assert sorted(one.status < 300 for one in replies) == [False, True], [
        one.text for one in replies
    ]
    assert {one.status for one in replies} <= {200, 201, 400, 409}, [one.text for one in replies]
    seen = show(central, scene.floating)
    assert bool(seen["port_forwardings"]) != bool(seen["port_id"])


def test_what_excludes_each_other_already_refuses_nothing_else(central: CentralServer) -> None:
    """Central of an older release may have let both in."""
    scene = Scene(central)
    assert forward(central, scene.floating, scene.user, scene.port, 80).status == 201
    beside, other, same = (
        central.create("floatingip", scene.user, floating_network_id=scene.outside["id"])
        for _ in range(3)
    )
    with central.database() as connection:
        columns = ("id", "fixed_port_id", "fixed_ip_address", "router_id")
        table = sa.table("floatingips", *(sa.column(one) for one in columns))
        connection.execute(
            sa.update(table)
            .where(table.c.id == beside["id"])
            .values(
                fixed_port_id=scene.port["id"],
                fixed_ip_address=scene.port["fixed_ips"][0]["ip_address"],
                router_id=scene.router["id"],
            )
        )
        connection.commit()
    port = central.create("port", scene.user, network_id=scene.network["id"])
    third = central.create("port", scene.user, network_id=scene.network["id"])
    reply = put_floating(central, other, scene.user, port_id=port["id"])
    assert reply.status == 200, reply.text
    reply = forward(central, same, scene.user, third, 80)
    assert reply.status == 201, reply.text
    reply = forward(central, scene.floating, scene.user, scene.port, 81, 81)
    assert reply.status in (400, 409), reply.text
    assert len(forwarded_at(central, "site1", scene.router)) == 1
