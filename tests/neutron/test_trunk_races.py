"""Trunks that are changed at the same time as their ports come and go, on MariaDB."""

import functools
import logging
import random
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, sound
from tests.neutron.races import at_once
from tests.neutron.server import Reply, User
from tests.neutron.test_trunks import change, make_port, make_ports, mapped, person, sub

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress, pytest.mark.timeout(1200)]

__all__ = ["central", "sound"]
LOG = logging.getLogger(__name__)


def find_faults(central: CentralServer, *trunks: str) -> list[str]:
    """List trunks that are not at the home of their parents, with all their subports."""
    faults = []
    for trunk in trunks:
        found = central.call("GET", f"/v2.0/trunks/{trunk}")
        if found.status == 404:
            faults += [f"{trunk} is gone, and mapped to {mapped(central, trunk)}"] * any(
                ("trunk", trunk) not in central.jobs(site) for site in mapped(central, trunk)
            )
            continue
        home = mapped(central, found.only()["port_id"])
        inner = {
            one["port_id"]: mapped(central, one["port_id"]) for one in found.only()["sub_ports"]
        }
        if mapped(central, trunk) != home or (home and any(at != home for at in inner.values())):
            faults.append(
                f"{trunk} at {mapped(central, trunk)}, parent at {home}, subports {inner}"
            )
    return faults


def find_trunk(central: CentralServer, parent: str) -> str:
    (found,) = central.call("GET", f"/v2.0/trunks?port_id={parent}").only()
    return str(found["id"])


@pytest.mark.parametrize("what", ["trunk", "subport"])
def test_a_parent_comes_to_a_site_while_it_gets_a_trunk(central: CentralServer, what: str) -> None:
    user, rng = person(), random.Random(3)
    made = []
    for _ in range(12):
        parent, child = make_ports(central, user, 2)
        body = {"port_id": parent, "sub_ports": [sub(child, 1)]}
        make = functools.partial(central.try_create, "trunk", user, **body)
        if what == "subport":
            trunk = central.create("trunk", user, port_id=parent)["id"]
            make = functools.partial(change, central, trunk, "add_subports", user, sub(child, 1))
        ask = functools.partial(central.bundle, "site1", "port", parent, project=user.project)
        reply, _ = at_once(rng, 0.3, make, ask)
        assert reply.status in (200, 201), reply.text
        made.append(find_trunk(central, parent))
    assert find_faults(central, *made) == []


@pytest.mark.parametrize("at", ["", "site1"])
def test_a_subport_comes_to_another_site_while_it_is_added(central: CentralServer, at: str) -> None:
    user, rng = person(), random.Random(4)
    made, said = [], []
    for _ in range(12):
        parent, child = make_ports(central, user, 2)
        trunk = central.create("trunk", user, port_id=parent)["id"]
        if at:
            assert central.bundle(at, "port", parent, project=user.project)["items"]
        add = functools.partial(change, central, trunk, "add_subports", user, sub(child, 1))
        ask = functools.partial(central.bundle, "site2", "port", child, project=user.project)
        reply, answer = at_once(rng, 0.2, add, ask)
        assert reply.status in (200, 409), reply.text
        said.append((reply.status, bool(answer["items"])))
        made.append(trunk)
    # One that the other site had first is released there, and then comes.
    for site in ("site2", "site1"):
        central.acknowledge_all(site)
    assert find_faults(central, *made) == [], said
    LOG.info("answers: %s", said)


def choose(
    central: CentralServer, user: User, rng: random.Random, trunks: list[str], ports: list[str]
) -> Callable[[], Reply]:
    """Choose a call about one of a project's trunks or ports."""
    trunk = rng.choice(trunks) if trunks else str(uuid.uuid4())
    port, other, tag = rng.choice(ports), rng.choice(ports), rng.randint(1, 3)
    site = rng.choice(("site1", "site1", "site2"))
    make = functools.partial(central.try_create, "trunk", user, port_id=port)
    alter = functools.partial(change, central, trunk)
    delete = functools.partial(central.call, "DELETE", user=user)
    return rng.choice(
        (
            make,
            functools.partial(make, sub_ports=[sub(other, 1)]),
            functools.partial(alter, "add_subports", user, sub(port, tag)),
            functools.partial(alter, "add_subports", user, sub(port, tag)),
            functools.partial(alter, "remove_subports", user, {"port_id": port}),
            functools.partial(delete, f"/v2.0/trunks/{trunk}"),
            functools.partial(delete, f"/v2.0/ports/{port}"),
            functools.partial(central.try_bundle, site, "port", port, project=user.project),
        )
    )


def test_trunks_and_their_ports_are_changed_and_deleted_at_once(central: CentralServer) -> None:
    user, rng = person(), random.Random(5)
    ports = make_ports(central, user, 6)
    trunks: list[str] = []
    seen: Counter[int] = Counter()
    for _ in range(20):
        calls = [choose(central, user, rng, trunks, ports) for _ in range(4)]
        for reply in at_once(rng, 0.05, *calls):
            seen[reply.status] += 1
            assert reply.status < 500 or reply.status == 503, reply.text
        trunks = list_ids(central, "trunks", user)
        ports = list_ids(central, "ports", user)
        ports += [make_port(central, user, number) for number in range(6 - len(ports))]
    LOG.info("answers: %s", seen)
    assert seen[200] + seen[201] > 10, seen
    assert find_faults(central, *trunks) == []
    for trunk in trunks:
        assert central.call("DELETE", f"/v2.0/trunks/{trunk}", user=user).status == 204
    for port in ports:
        assert central.call("DELETE", f"/v2.0/ports/{port}", user=user).status == 204
    for table, which in (("trunks", f"project_id = '{user.project}'"), ("subports", "1 = 1")):
        with central.database() as connection:
            left = connection.execute(sa.text(f"SELECT * FROM {table} WHERE {which}")).all()
        assert table == "subports" or left == []
        assert not {row.port_id for row in left} & set(ports)


def list_ids(central: CentralServer, collection: str, user: User) -> list[str]:
    found = central.call("GET", f"/v2.0/{collection}?project_id={user.project}").only()
    return [str(one["id"]) for one in found]
