"""Freed addresses rest until they are free everywhere, and nobody takes more than his share."""

import ipaddress
import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.server import Reply, tenant
from tests.neutron.test_central_lease import held, number, parts, small
from tests.neutron.test_central_report import Stretched

pytestmark = pytest.mark.neutron


def at_home(central: CentralServer, net: Stretched, address: str) -> dict[str, Any]:
    """Make a port at central that comes home to site1, and that both sites know of."""
    port = create(central, net, address).only()
    central.bundle("site1", "port", port["id"], project=net.project)
    state = net.port(id=port["id"], mac_address=port["mac_address"], fixed_ips=port["fixed_ips"])
    assert net.report(state)["code"] == ""
    central.acknowledge_all()
    return dict(port)


def create(central: CentralServer, net: Stretched, address: str) -> Reply:
    wanted = [{"subnet_id": net.subnet["id"], "ip_address": address}]
    return central.try_create("port", net.user, network_id=net.network["id"], fixed_ips=wanted)


def test_an_address_rests_until_every_site_knows(central: CentralServer) -> None:
    net = Stretched(central)
    port = at_home(central, net, "10.0.0.200")
    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    assert {one for one in central.jobs("site1") if one[1] == port["id"]}
    refused = create(central, net, "10.0.0.200")
    assert refused.refusal() == (409, "isthmus.refused.conflict")
    assert "acknowledged" in refused.text
    pool = {"kind": "subnet", "pool_id": net.subnet["id"]}
    assert central.lease_request("site2", **pool, address="10.0.0.200").status == 409
    central.acknowledge_all()
    assert create(central, net, "10.0.0.200").status == 201


def test_an_address_that_a_port_loses_rests_too(central: CentralServer) -> None:
    net = Stretched(central)
    port = at_home(central, net, "10.0.0.200")

    def move(address: str) -> Reply:
        wanted = [{"subnet_id": net.subnet["id"], "ip_address": address}]
        return central.call(
            "PUT", f"/v2.0/ports/{port['id']}", {"port": {"fixed_ips": wanted}}, net.user
        )

    assert move("10.0.0.201").status == 200
    assert create(central, net, "10.0.0.200").status == 409
    assert move("10.0.0.200").status == 200  # the port itself may have it back at any time
    assert create(central, net, "10.0.0.201").status == 409
    central.acknowledge_all()
    assert create(central, net, "10.0.0.201").status == 201


def test_a_site_is_not_asked_back_what_the_port_has(central: CentralServer) -> None:
    """Its home cannot give it back, and whoever asks would wait for that."""
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    more = {"subnet_id": net.subnet["id"], "ip_address": "10.0.0.200"}
    body = {"port": {"fixed_ips": [*port["fixed_ips"], more]}}
    changed = central.call("PUT", f"/v2.0/ports/{port['id']}", body, net.user)
    assert changed.status == 200, changed
    assert central.jobs("site1", "lease") == set()
    (asked,) = (one for one in net.leases["site1"] if one["kind"] == "subnet")
    other = str(ipaddress.ip_address(int(asked["first"]) + 5))
    body["port"]["fixed_ips"].append({**more, "ip_address": other})
    assert central.call("PUT", f"/v2.0/ports/{port['id']}", body, net.user).status != 200
    assert {one[1] for one in central.jobs("site1", "lease")} == {asked["id"]}


def test_what_rests_is_given_to_nobody(central: CentralServer) -> None:
    network, _, project = small(central, "10.0.0.0/29")
    user = tenant(project)
    central.bundle("site1", "network", network["id"], project=project)
    ports = []
    while (reply := central.try_create("port", user, network_id=network["id"])).status == 201:
        ports.append(reply.only())
    assert reply.refusal() == (409, "IpAddressGenerationFailure")
    central.bundle("site1", "port", ports[0]["id"], project=project)
    central.call("DELETE", f"/v2.0/ports/{ports[0]['id']}")
    assert central.try_create("port", user, network_id=network["id"]).status == 409
    central.acknowledge_all()
    again = central.create("port", user, network_id=network["id"])
    assert again["fixed_ips"] == ports[0]["fixed_ips"]


def test_what_rests_in_a_returned_block_is_given_to_nobody(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.acknowledge_all()
    address = port["fixed_ips"][0]["ip_address"]
    pool = {"kind": "subnet", "pool_id": net.subnet["id"]}
    leases = central.lease_request("site1", **pool).only()["leases"]
    (gone,) = central.report("site1", {"type": "port", "id": port["id"], "state": None})
    assert gone["code"] == ""
    assert central.jobs("site2", "shadow"), "site2 still has the shadow"
    assert central.lease_request("site1", **pool, give_back=parts(leases)).only()["leases"] == []
    for site in ("site1", "site2"):
        assert central.lease_request(site, **pool, address=address).status == 409
    assert create(central, net, address).status == 409
    central.acknowledge_all()
    assert create(central, net, address).status == 201


def test_central_holds_one_block_however_many_ports(central: CentralServer) -> None:
    network, subnet, project = small(central, "10.0.0.0/24")
    for _ in range(20):
        central.create("port", tenant(project), network_id=network["id"])
    ((first, last),) = held(central, subnet["id"])["central"]
    assert (first, last) == (number("10.0.0.2"), number("10.0.0.25"))


@pytest.mark.parametrize("address", ["8.8.8.8", "10.0.0.255", "10.0.0.0", "10.0.1.1", "::1"])
def test_a_site_gets_no_address_from_elsewhere(central: CentralServer, address: str) -> None:
    net = Stretched(central, present=("site1",))
    reply = central.lease_request("site1", kind="subnet", pool_id=net.subnet["id"], address=address)
    assert reply.refusal() == (400, "isthmus.refused.invalid")


@pytest.mark.parametrize("key", ["0", "-5", "32768", "40000", "x", str(2**200)])
def test_a_site_gets_no_key_that_ovn_has_not(central: CentralServer, key: str) -> None:
    net = Stretched(central, present=("site1",))
    reply = central.lease_request("site1", kind="port_key", pool_id=net.network["id"], address=key)
    assert reply.refusal() == (400, "isthmus.refused.invalid")


@pytest.mark.parametrize("kind", ["subnet", "port_key"])
def test_a_site_that_uses_nothing_does_not_get_all(central: CentralServer, kind: str) -> None:
    net = Stretched(central, present=("site1",))
    pool_id = net.subnet["id"] if kind == "subnet" else net.network["id"]
    for _ in range(40):
        reply = central.lease_request("site1", kind=kind, pool_id=pool_id, count=10**6)
        if reply.status != 201:
            break
    assert reply.refusal() == (409, "isthmus.refused.conflict")
    assert "knows of no port" in reply.text
    got = sum(last - first + 1 for first, last in held(central, pool_id)["site1"])
    assert got <= (253 if kind == "subnet" else 32767) // 2
    # Others find something, and what is used does not count.
    assert net.report(net.port(**{"isthmus:location": None}))["code"] == ""
    if kind == "subnet":
        assert central.lease_request("site1", kind=kind, pool_id=pool_id, count=1).status == 201


@pytest.mark.parametrize(
    "give_back",
    [
        [{"lease": str(uuid.uuid4()), "first": "1", "last": "1"}] * 65,
        ["x" * 36],
        [{"lease": "x" * 36, "first": "1", "last": "1"}],
        [{"lease": str(uuid.uuid4()), "first": "1", "last": str(2**130)}],
        [{"lease": str(uuid.uuid4()), "first": "1", "last": "1025"}],
        [{"lease": str(uuid.uuid4()), "first": "-1", "last": "-1"}],
        [["a"]],
        {"a": 1},
    ],
    ids=["many", "no-part", "no-uuid", "large", "long", "negative", "nested", "no-list"],
)
def test_what_is_given_back_is_bounded(central: CentralServer, give_back: Any) -> None:
    net = Stretched(central, present=("site1",))
    reply = central.lease_request(
        "site1", kind="subnet", pool_id=net.subnet["id"], give_back=give_back
    )
    assert reply.refusal() == (400, "isthmus.refused.invalid")


@pytest.mark.parametrize("cidr", ["10.0.0.0/31", "10.0.0.0/30", "10.0.0.0/29"])
def test_a_tiny_subnet_is_shared(central: CentralServer, cidr: str) -> None:
    project = uuid.uuid4().hex
    network = central.create("network", tenant(project), name="n")
    subnet = central.create(
        "subnet",
        tenant(project),
        network_id=network["id"],
        cidr=cidr,
        ip_version=4,
        gateway_ip=None,
        enable_dhcp=False,
    )
    for site in ("site1", "site2"):
        items = central.bundle(site, "network", network["id"], project=project)["items"]
        (lease,) = (one for one in by_type(items, "lease") if one["kind"] == "subnet")
        assert lease["first"] == lease["last"]
    assert set(held(central, subnet["id"])) == {"site1", "site2"}
