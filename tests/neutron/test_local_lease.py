"""Addresses at a site: out of its leases, more of them in time, none twice."""

import ipaddress
import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import tenant

from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


def make_network(central: CentralServer, cidr: str, **more: Any) -> tuple[Any, Any]:
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr=cidr, ip_version=4, **more
    )
    return network, subnet


def blocks(site: LocalServer, subnet: Any) -> list[tuple[int, int]]:
    return sorted(
        (int(row["first"]), int(row["last"]))
        for row in site.rows("isthmus_leases")
        if row["pool_id"] == subnet["id"] and row["kind"] == "subnet"
    )


def number(port: Any) -> int:
    return int(ipaddress.ip_address(port["fixed_ips"][0]["ip_address"]))


def is_leased(site: LocalServer, subnet: Any, port: Any) -> bool:
    return any(first <= number(port) <= last for first, last in blocks(site, subnet))


def test_addresses_come_out_of_the_blocks(central: CentralServer, site1: LocalServer) -> None:
    network, subnet = make_network(central, "10.0.0.0/24")
    user = tenant(network["project_id"])
    ports = [site1.create("port", user, network_id=network["id"]) for _ in range(4)]
    assert len({number(port) for port in ports}) == 4
    assert all(is_leased(site1, subnet, port) for port in ports)
    with central.database() as connection:
        there = connection.exec_driver_sql(
            "SELECT first, last FROM isthmus_leases WHERE site = 'site1' AND pool_id = ?",
            (subnet["id"],),
        ).all()
    assert sorted((int(first), int(last)) for first, last in there) == blocks(site1, subnet)


def test_many_at_once_take_further_blocks(central: CentralServer, site1: LocalServer) -> None:
    network, subnet = make_network(central, "10.0.0.0/22")
    user = tenant(network["project_id"])
    site1.create("port", user, network_id=network["id"])
    (first,) = blocks(site1, subnet)
    wanted = first[1] - first[0] + 1  # one more than are left
    answer = site1.call(
        "POST", "/v2.0/ports", {"ports": [{"network_id": network["id"]}] * wanted}, user
    )
    ports = answer.only()
    assert len({number(port) for port in ports}) == wanted
    assert all(is_leased(site1, subnet, port) for port in ports)
    assert len(blocks(site1, subnet)) > 1


def test_the_next_block_comes_before_the_last_one_is_used_up(
    central: CentralServer, site1: LocalServer
) -> None:
    network, subnet = make_network(
        central, "10.0.0.0/24", allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.57"}]
    )
    user = tenant(network["project_id"])
    site1.create("port", user, network_id=network["id"])
    (block,) = blocks(site1, subnet)
    size = block[1] - block[0] + 1
    for _ in range(size - 2):
        site1.create("port", user, network_id=network["id"])
    until(lambda: len(blocks(site1, subnet)) > 1, what="a further block")


def test_an_address_by_name(central: CentralServer, site1: LocalServer) -> None:
    network, subnet = make_network(central, "10.0.0.0/24")
    user = tenant(network["project_id"])
    site1.get(f"networks/{network['id']}", user).only()
    free = "10.0.0.200"
    port = site1.create("port", user, network_id=network["id"], fixed_ips=[{"ip_address": free}])
    assert port["fixed_ips"][0]["ip_address"] == free
    assert is_leased(site1, subnet, port)
    # central's own, and another site's
    theirs = central.create("port", user, network_id=network["id"])
    address = theirs["fixed_ips"][0]["ip_address"]
    answer = site1.try_create(
        "port", user, network_id=network["id"], fixed_ips=[{"ip_address": address}]
    )
    assert answer.status == 400
    assert address in answer.text
    assert "in use at central. Choose another address" in answer.text
    # one that this site gave out already: Neutron's own answer
    again = site1.try_create(
        "port", user, network_id=network["id"], fixed_ips=[{"ip_address": free}]
    )
    assert again.refusal() == (409, "IpAddressAlreadyAllocated")
    # changing a port keeps the address that it has
    kept = site1.update(
        "port", port["id"], user, fixed_ips=[{"subnet_id": subnet["id"], "ip_address": free}]
    )
    assert kept.status == 200
    moved = site1.update("port", port["id"], user, fixed_ips=[{"ip_address": address}])
    assert moved.status == 400


def test_an_exhausted_pool_says_why(central: CentralServer, site1: LocalServer) -> None:
    assert site1.wan is not None
    network, subnet = make_network(
        central, "10.0.0.0/24", allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.25"}]
    )
    user = tenant(network["project_id"])
    site1.create("port", user, network_id=network["id"])
    site1.wan.cut()
    try:
        for _ in range(20):
            answer = site1.try_create("port", user, network_id=network["id"])
            if answer.status != 201:
                break
    finally:
        site1.wan.heal()
    assert answer.refusal() == (409, "IpAddressGenerationFailure")
    assert "blocks leased to site site1 are full" in answer.text
    assert "central cannot be reached" in answer.text
    # Healed, it goes on until the pool itself is empty, and that is said.
    said: list[str] = []

    def is_exhausted() -> bool:
        answer = site1.try_create("port", user, network_id=network["id"])
        if answer.status != 201:
            assert answer.refusal() == (409, "IpAddressGenerationFailure")
            said.append(answer.text)
        return bool(said) and "every address of subnet" in said[-1]

    until(is_exhausted, what=f"the end of the pool: {said}", timeout_s=120)
    used = [
        row["ip_address"] for row in site1.rows("ipallocations") if row["subnet_id"] == subnet["id"]
    ]
    assert len(used) == len(set(used))
    assert {ipaddress.ip_address(one) for one in used} <= {
        ipaddress.ip_address(f"10.0.0.{n}") for n in range(10, 26)
    }


def test_the_sites_own_networks_are_as_ever(site1: LocalServer) -> None:
    assert site1.wan is not None
    before = site1.wan.asked()
    own = site1.create("network", name="own")
    site1.create(
        "subnet",
        network_id=own["id"],
        cidr="10.0.0.0/29",
        ip_version=4,
        allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.3"}],
    )
    made = [site1.create("port", network_id=own["id"]) for _ in range(2)]
    assert {port["fixed_ips"][0]["ip_address"] for port in made} == {"10.0.0.2", "10.0.0.3"}
    answer = site1.try_create("port", network_id=own["id"])
    assert answer.refusal() == (409, "IpAddressGenerationFailure")
    assert "leased" not in answer.text
    assert site1.wan.asked() == before
