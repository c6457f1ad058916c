"""Whoever comes second to make what somebody else is making finds it, and does not wait for it.

Neutron's retry would try to make it again and again, for more than two minutes.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import tenant
from tests.neutron.test_late_applies import Paused, run_held, send
from tests.neutron.test_local_crash import check_addresses, make_port

from isthmus.model.resource import ResourceType

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

#: What the retry that Neutron uses logs at each further try.
_TRIED_AGAIN = "Performing DB retry for function"
_OF_PORT = (
    ResourceType.ADDRESS_GROUP,
    ResourceType.SECURITY_GROUP,
    ResourceType.QOS_POLICY,
    ResourceType.NETWORK,
    ResourceType.SUBNET,
    ResourceType.PORT,
)


@pytest.fixture(scope="module")
def held(
    central: CentralServer, neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Paused]:
    """A site that can be held, and logs each try."""
    logs = {"DEFAULT": {"debug": True}}
    with run_held(central, neutron_template, tmp_path_factory, logs) as found:
        yield found


def count_tries(held: Paused) -> int:
    log = held.server.log()
    assert " DEBUG " in log
    return log.count(_TRIED_AGAIN)


@pytest.mark.parametrize("kind", _OF_PORT)
def test_of_two_batches_the_older_gives_up_at_once(
    central: CentralServer, held: Paused, kind: ResourceType
) -> None:
    port, items = make_port(central)
    number, before = held.next(), count_tries(held)
    with held.pause.during(f"apply.{kind}.sought", lambda: send(held, items, number)) as done:
        assert set(send(held, items).values()) == {""}
    made = next(one["id"] for one in items if one["type"] == kind)
    assert done["result"][made] == "isthmus.transient.stale"
    assert count_tries(held) == before
    here = held.server.get(f"ports/{port['id']}").only()
    for name in ("mac_address", "fixed_ips", "security_groups"):
        assert here[name] == port[name], name
    check_addresses(held.server)


@pytest.mark.parametrize("kind", _OF_PORT)
def test_a_batch_finds_what_a_persons_request_has_made(
    central: CentralServer, held: Paused, kind: ResourceType
) -> None:
    port, items = make_port(central)
    user, before = tenant(port["project_id"]), count_tries(held)
    with held.pause.during(f"apply.{kind}.sought", lambda: send(held, items)) as done:
        asked = held.server.update("port", port["id"], user, name="asked")
    assert asked.status == 200, asked.text
    assert set(done["result"].values()) == {""}, held.server.messages
    assert count_tries(held) == before
    check_addresses(held.server)


@pytest.mark.parametrize("kind", _OF_PORT)
def test_a_persons_request_finds_what_a_batch_has_made(
    central: CentralServer, held: Paused, kind: ResourceType
) -> None:
    port, items = make_port(central)
    user, before = tenant(port["project_id"]), count_tries(held)
    with held.pause.during(
        f"apply.{kind}.sought",
        lambda: held.server.update("port", port["id"], user, name="asked"),
    ) as done:
        assert set(send(held, items).values()) == {""}
    assert done["result"].status == 200, done["result"].text
    assert count_tries(held) == before
    check_addresses(held.server)


@pytest.mark.parametrize("kind", [ResourceType.NETWORK, ResourceType.SUBNET])
def test_a_person_makes_a_port_while_its_network_is_placed(
    central: CentralServer, held: Paused, kind: ResourceType
) -> None:
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    before = count_tries(held)
    with held.pause.during(
        f"apply.{kind}.sought",
        lambda: held.server.try_create("port", user, network_id=network["id"]),
    ) as done:
        items = central.bundle("site2", "network", network["id"], project=network["project_id"])
        assert set(send(held, items["items"]).values()) == {""}
    assert done["result"].status == 201, done["result"].text
    assert count_tries(held) == before
    (address,) = done["result"].only()["fixed_ips"]
    assert address["subnet_id"] == subnet["id"]
    check_addresses(held.server)


@pytest.mark.parametrize("first", ["batch", "person"])
def test_a_subnet_that_somebody_else_has_made_keeps_its_parts(
    central: CentralServer, held: Paused, first: str
) -> None:
    """Whoever comes second looks for what a lost one has left when the other one is there."""
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")
    subnet = central.create(
        "subnet",
        user,
        network_id=network["id"],
        cidr="10.0.0.0/24",
        ip_version=4,
        dns_nameservers=["192.0.2.53"],
        host_routes=[{"destination": "198.51.100.0/24", "nexthop": "10.0.0.9"}],
    )
    items = central.bundle("site2", "network", network["id"], project=network["project_id"])

    def send_items() -> bool:
        return set(send(held, items["items"]).values()) == {""}

    def make_port() -> bool:
        return held.server.try_create("port", user, network_id=network["id"]).status == 201

    def list_pools() -> list[str]:
        rows = held.server.rows("ipallocationpools")
        return [one["id"] for one in rows if one["subnet_id"] == subnet["id"]]

    works = {"batch": send_items, "person": make_port}
    sooner = works.pop(first)
    (later,) = works.values()
    with held.pause.during("apply.subnet.sought", later) as done:
        assert sooner()
        before = list_pools()
    assert done["result"]
    assert list_pools() == before, "they were deleted, and made anew by whoever came second"
    here = held.server.get(f"subnets/{subnet['id']}").only()
    for name in ("allocation_pools", "dns_nameservers", "host_routes"):
        assert here[name] == subnet[name], name
