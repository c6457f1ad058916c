"""Who gives out which address: nothing is ever given twice, and nothing is lost."""

import ipaddress
import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.server import tenant
from tests.neutron.test_central_report import Stretched

pytestmark = pytest.mark.neutron


def number(address: str) -> int:
    return int(ipaddress.ip_address(address))


def blocks(leases: Any) -> list[tuple[int, int]]:
    return sorted((int(one["first"]), int(one["last"])) for one in leases)


def parts(leases: Any) -> list[dict[str, str]]:
    """Name whole leases as a site does that gives them back."""
    return [
        {"lease": one.get("origin", one["id"]), "first": one["first"], "last": one["last"]}
        for one in leases
    ]


def held(central: CentralServer, subnet_id: str) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for lease in central.call("GET", f"/v2.0/site-leases?pool_id={subnet_id}").only():
        found.setdefault(lease["site"], []).append((int(lease["first"]), int(lease["last"])))
    return found


def small(central: CentralServer, cidr: str = "10.0.0.0/28") -> tuple[Any, Any, str]:
    project = uuid.uuid4().hex
    network = central.create("network", tenant(project), name="n")
    subnet = central.create(
        "subnet", tenant(project), network_id=network["id"], cidr=cidr, ip_version=4
    )
    return network, subnet, project


def test_a_site_asks_for_more_and_gives_back(central: CentralServer) -> None:
    net = Stretched(central)
    pool = {"kind": "subnet", "pool_id": net.subnet["id"]}
    first = central.lease_request("site1", **pool).only()["leases"]
    more = central.lease_request("site1", **pool, count=10).only()["leases"]
    assert sum(last - one + 1 for one, last in blocks(more)) == 10 + sum(
        last - one + 1 for one, last in blocks(first)
    )
    new = [one for one in more if one not in first]
    assert central.lease_request("site1", **pool, give_back=parts(new)).only()["leases"] == first
    # The tail of a block may go alone.
    (lease,) = first
    kept = str(int(lease["first"]) + 3)
    part = [{**parts([lease])[0], "first": str(int(kept) + 1)}]
    (left,) = central.lease_request("site1", **pool, give_back=part).only()["leases"]
    assert (left["first"], left["last"]) == (lease["first"], kept)


def test_what_is_in_use_is_not_taken_back(central: CentralServer) -> None:
    net = Stretched(central)
    net.must_take(net.port())
    pool = {"kind": "subnet", "pool_id": net.subnet["id"]}
    leases = central.lease_request("site1", **pool).only()["leases"]
    answer = central.lease_request("site1", **pool, give_back=parts(leases)).only()["leases"]
    # It stays the site's, under another id: the call may be made again.
    assert blocks(answer) == blocks(leases)
    assert answer != leases
    again = central.lease_request("site1", **pool, give_back=parts(leases))
    assert again.only()["leases"] == answer


def test_a_full_pool_says_who_holds_it(central: CentralServer) -> None:
    network, subnet, project = small(central)
    central.bundle("site1", "network", network["id"], project=project)
    pool = {"kind": "subnet", "pool_id": subnet["id"]}
    for _ in range(20):
        reply = central.lease_request("site1", **pool, count=4)
        if reply.status != 201:
            break
    assert reply.refusal() == (409, "isthmus.refused.conflict")  # others shall have some too
    for _ in range(20):
        body = {"port": {"network_id": network["id"]}}
        reply = central.call("POST", "/v2.0/ports", body)
        if reply.status != 201:
            break
    assert reply.refusal() == (409, "IpAddressGenerationFailure")
    reply = central.lease_request("site1", **pool, count=4)
    assert reply.refusal() == (409, "isthmus.refused.exhausted")
    assert "central holds 5, site1 holds 8" in reply.text
    # A site that comes late still has the network; it is told when it asks for an address.
    items = central.bundle("site2", "network", network["id"], project=project)["items"]
    assert [one["kind"] for one in by_type(items, "lease")] == ["port_key"]


def test_central_gives_way_where_it_does_not_use_its_own(central: CentralServer) -> None:
    network, subnet, project = small(central)
    port = central.create("port", tenant(project), network_id=network["id"])
    central.bundle("site1", "network", network["id"], project=project)
    pool = {"kind": "subnet", "pool_id": subnet["id"]}
    while central.lease_request("site1", **pool, count=13).status == 201:
        pass
    own = number(port["fixed_ips"][0]["ip_address"])
    assert held(central, subnet["id"])["central"] == [(own, own)]
    assert sum(b - a + 1 for a, b in held(central, subnet["id"])["site1"]) == 8


def test_addresses_asked_for_by_name(central: CentralServer) -> None:
    network, subnet, project = small(central, "10.0.0.0/24")
    items = central.bundle("site1", "network", network["id"], project=project)["items"]
    (lease,) = (one for one in by_type(items, "lease") if one["kind"] == "subnet")
    at_site = str(ipaddress.ip_address(int(lease["first"])))

    def ask_central(address: str) -> Any:
        ip = [{"subnet_id": subnet["id"], "ip_address": address}]
        body = {"port": {"network_id": network["id"], "fixed_ips": ip}}
        return central.call("POST", "/v2.0/ports", body)

    reply = ask_central(at_site)  # the site is asked for it, and does not answer
    assert reply.refusal() == (503, "isthmus.transient.busy")
    assert "site1, which was asked" in reply.text
    free = "10.0.0.200"
    assert ask_central(free).status == 201
    pool = {"kind": "subnet", "pool_id": subnet["id"]}
    reply = central.lease_request("site1", **pool, address=free)
    assert reply.refusal() == (409, "isthmus.refused.conflict")
    leases = central.lease_request("site1", **pool, address="10.0.0.201").only()["leases"]
    assert (number("10.0.0.201"),) * 2 in blocks(leases)
    assert ask_central("10.0.0.201").status == 503
    # What central leased for one address and no longer uses may go to a site.
    made = ask_central("10.0.0.202").only()
    central.call("DELETE", f"/v2.0/ports/{made['id']}")
    leases = central.lease_request("site1", **pool, address="10.0.0.202").only()["leases"]
    assert (number("10.0.0.202"),) * 2 in blocks(leases)
    assert central.lease_request("site1", **pool, address="not one").status == 400


def test_a_stranger_is_leased_nothing(central: CentralServer) -> None:
    net = Stretched(central, present=("site1",))
    pool = {"kind": "subnet", "pool_id": net.subnet["id"]}
    assert central.lease_request("site2", **pool, count=1).status == 404
    assert (
        central.lease_request("site2", kind="subnet", pool_id=str(uuid.uuid4()), count=1).status
        == 404
    )


def test_pools_change_where_nobody_is_cut(central: CentralServer) -> None:
    net = Stretched(central, present=("site1",))
    path = f"/v2.0/subnets/{net.subnet['id']}"
    ((first, last),) = held(central, net.subnet["id"])["site1"]
    cut = [{"start": str(ipaddress.ip_address(last)), "end": "10.0.0.254"}]
    reply = central.call("PUT", path, {"subnet": {"allocation_pools": cut}})
    assert reply.refusal() == (409, "isthmus.refused.in_use")
    kept = [{"start": str(ipaddress.ip_address(first)), "end": "10.0.0.199"}]
    changed = central.call("PUT", path, {"subnet": {"allocation_pools": kept}}).only()
    assert changed["allocation_pools"] == kept
    reply = central.lease_request("site1", kind="subnet", pool_id=net.subnet["id"], count=200)
    assert max(last for _, last in blocks(reply.only()["leases"])) <= number("10.0.0.199")


def test_port_keys_never_meet(central: CentralServer) -> None:
    net = Stretched(central)
    pool = {"kind": "port_key", "pool_id": net.network["id"]}
    for _ in range(3):
        for site in ("site1", "site2"):
            assert central.lease_request(site, **pool, count=100).status == 201
    runs = sorted(run for runs in held(central, net.network["id"]).values() for run in runs)
    assert runs[0][0] == 1
    assert all(one[1] < two[0] for one, two in itertools.pairwise(runs))


def test_the_key_of_a_port_that_went_rests_though_its_site_gave_all_up(
    central: CentralServer,
) -> None:
    """A site that has not heard keeps its shadow: nobody else may have that key meanwhile."""
    net = Stretched(central)
    network_id = net.network["id"]
    port = net.port()
    net.must_take(port)
    key = port["isthmus:location"]["port_key"]
    central.acknowledge_all()
    path = f"/v2.0/site-presences?network_id={network_id}&site=site1"
    (presence,) = central.call("GET", path).only()
    (gone,) = central.report("site1", {"type": "port", "id": port["id"], "state": None})
    assert gone["code"] == ""
    assert ("shadow", port["id"]) in central.jobs("site2")
    assert central.call("DELETE", f"/v2.0/site-presences/{presence['id']}").status == 204
    central.acknowledge_all("site1")
    assert "site1" not in held(central, network_id)
    pool = {"kind": "port_key", "pool_id": network_id}

    def may_have() -> bool:
        leases = central.lease_request("site2", **pool, count=64).only()["leases"]
        return any(first <= key <= last for first, last in blocks(leases))

    assert not may_have()
    central.acknowledge_all()
    central.bundle("site1", "network", network_id, project=net.project)
    leases = central.lease_request("site1", **pool, count=64).only()["leases"]
    assert any(first <= key <= last for first, last in blocks(leases))


def test_many_at_once(central: CentralServer) -> None:
    """Creates at central, reports and lease requests at once: no address is in two places."""
    net = Stretched(central)
    ports = [net.port() for _ in range(8)]
    pool = {"kind": "subnet", "pool_id": net.subnet["id"]}

    def create(_: int) -> Any:
        body = {"port": {"network_id": net.network["id"]}}
        return central.call("POST", "/v2.0/ports", body).only()

    central._sequence += 1
    sequence = central._sequence
    with ThreadPoolExecutor(8) as threads:
        made = [threads.submit(create, n) for n in range(12)]
        taken = [threads.submit(net.report, port, sequence=sequence) for port in ports]
        lease_requests = [
            threads.submit(central.lease_request, site, **pool, count=8)
            for site in ("site1", "site2") * 3
        ]
        codes = {port["id"]: one.result()["code"] for port, one in zip(ports, taken, strict=True)}
        assert all(one.result().status == 201 for one in lease_requests)
        addresses = [one.result()["fixed_ips"][0]["ip_address"] for one in made]
    # One that met others at the same rows may have to come again, as a site's relay sends it again.
    assert {code for code in codes.values() if not code.startswith("isthmus.transient")} <= {""}
    for port in ports:
        if codes[port["id"]]:
            assert net.report(port)["code"] == ""
    addresses += [port["fixed_ips"][0]["ip_address"] for port in ports]
    assert len(set(addresses)) == len(addresses)
    runs = sorted(run for runs in held(central, net.subnet["id"]).values() for run in runs)
    assert all(one[1] < two[0] for one, two in itertools.pairwise(runs))


def test_leases_of_a_stateful_ipv6_subnet(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    network = central.create("network", tenant(project), name="n")
    subnet = central.create(
        "subnet",
        tenant(project),
        network_id=network["id"],
        cidr="2001:db8:5::/64",
        ip_version=6,
        ipv6_address_mode="dhcpv6-stateful",
        ipv6_ra_mode="dhcpv6-stateful",
    )
    central.bundle("site1", "network", network["id"], project=project)
    port = central.create("port", tenant(project), network_id=network["id"])
    own = number(port["fixed_ips"][0]["ip_address"])
    found = held(central, subnet["id"])
    assert any(first <= own <= last for first, last in found["central"])
    assert not any(first <= own <= last for first, last in found["site1"])
    (first, last), *_ = found["site1"]
    assert last - first + 1 == 64
