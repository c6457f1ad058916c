"""Every change at central becomes an intent for the sites it concerns, and for no other."""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.server import tenant

from isthmus.federation.identity import default_security_group_id

pytestmark = pytest.mark.neutron


class Present:
    """A network that is present at site1 only."""

    def __init__(self, central: CentralServer) -> None:
        self.central = central
        self.project = uuid.uuid4().hex
        self.user = tenant(self.project)
        self.network = central.create("network", self.user, name="n")
        self.subnet = self.add_subnet("10.0.0.0/24")
        central.bundle("site1", "network", self.network["id"], project=self.project)
        self.default_group = default_security_group_id(self.project)
        central.clear_journal()

    def add_subnet(self, cidr: str) -> dict[str, Any]:
        return self.central.create(
            "subnet", self.user, network_id=self.network["id"], cidr=cidr, ip_version=4
        )

    def put(self, path: str, **values: Any) -> None:
        kind = path.split("/", maxsplit=1)[0].replace("-", "_")
        singular = kind.removesuffix("s")
        self.central.call("PUT", f"/v2.0/{path}", {singular: values}, self.user).only()

    def delete(self, path: str) -> None:
        reply = self.central.call("DELETE", f"/v2.0/{path}", user=self.user)
        assert reply.status == 204, reply

    def jobs(self) -> set[tuple[str, str]]:
        """Give site1's intents and forget them."""
        found = self.central.jobs("site1")
        assert self.central.jobs("site2") == set()
        self.central.clear_journal()
        return found


@pytest.fixture
def net(central: CentralServer) -> Present:
    return Present(central)


def test_what_no_site_has_concerns_nobody(central: CentralServer) -> None:
    central.clear_journal()
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="n")
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    central.create("port", user, network_id=network["id"])
    assert central.call("DELETE", f"/v2.0/networks/{network['id']}").status == 409
    assert central.jobs("site1") == set()


def test_networks_and_subnets(net: Present) -> None:
    network_id = net.network["id"]
    net.put(f"networks/{network_id}", name="renamed")
    assert net.jobs() == {("network", network_id)}
    net.put(f"networks/{network_id}", description="text in a table of its own")
    assert net.jobs() == {("network", network_id)}
    net.put(f"subnets/{net.subnet['id']}", dns_nameservers=["192.0.2.53"])
    assert net.jobs() == {("subnet", net.subnet["id"])}
    net.put(f"subnets/{net.subnet['id']}", description="also")
    assert net.jobs() == {("subnet", net.subnet["id"])}
    second = net.add_subnet("10.0.1.0/24")
    assert ("subnet", second["id"]) in net.jobs()
    state = net.central.desired("site1", ("subnet", second["id"]))[("subnet", second["id"])]
    assert state["isthmus:leases"]
    net.delete(f"subnets/{second['id']}")
    assert ("subnet", second["id"]) in net.jobs()


def test_sharing(net: Present) -> None:
    policy = net.central.create(
        "rbac_policy",
        net.user,
        object_type="network",
        object_id=net.network["id"],
        action="access_as_shared",
        target_tenant=uuid.uuid4().hex,
    )
    assert net.jobs() == {("network", net.network["id"])}
    net.delete(f"rbac-policies/{policy['id']}")
    assert net.jobs() == {("network", net.network["id"])}


def test_security_groups_and_what_their_rules_name(net: Present) -> None:
    other = net.central.create("security_group", net.user, name="other")
    group = net.central.create("address_group", net.user, name="a", addresses=["192.0.2.0/24"])
    assert net.jobs() == set()
    rules = [
        net.central.create(
            "security_group_rule",
            net.user,
            security_group_id=net.default_group,
            direction="ingress",
            ethertype="IPv4",
            **{name: value},
        )
        for name, value in (
            ("remote_group_id", other["id"]),
            ("remote_address_group_id", group["id"]),
        )
    ]
    assert net.jobs() == {
        ("security_group", net.default_group),
        ("security_group", other["id"]),
        ("address_group", group["id"]),
    }
    net.delete(f"security-group-rules/{rules[0]['id']}")
    assert net.jobs() == {("security_group", net.default_group)}
    net.delete(f"security-groups/{other['id']}")
    assert net.jobs() == {("security_group", other["id"])}


def test_address_groups(net: Present) -> None:
    group = net.central.create("address_group", net.user, name="a", addresses=["192.0.2.0/24"])
    rule = net.central.create(
        "security_group_rule",
        net.user,
        security_group_id=net.default_group,
        direction="ingress",
        ethertype="IPv4",
        remote_address_group_id=group["id"],
    )
    net.jobs()
    for action in ("add_addresses", "remove_addresses"):
        path = f"/v2.0/address-groups/{group['id']}/{action}"
        body = {"addresses": ["198.51.100.0/24"]}
        net.central.call("PUT", path, body, net.user).only()
        assert net.jobs() == {("address_group", group["id"])}
    net.put(f"address-groups/{group['id']}", name="b")
    assert net.jobs() == {("address_group", group["id"])}
    net.delete(f"security-group-rules/{rule['id']}")
    net.jobs()
    net.delete(f"address-groups/{group['id']}")
    assert net.jobs() == {("address_group", group["id"])}


def test_ports_go_to_their_home_only(net: Present) -> None:
    port = net.central.create("port", net.user, network_id=net.network["id"])
    assert net.jobs() == set()
    net.central.bundle("site1", "port", port["id"], project=net.project)
    net.central.clear_journal()
    for values in (
        {"name": "renamed"},
        {"description": "text"},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.250"}]},
        {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}]},
        {"admin_state_up": False},
    ):
        net.put(f"ports/{port['id']}", **values)
        assert net.jobs() == {("port", port["id"])}, values
    net.delete(f"ports/{port['id']}")
    assert net.jobs() == {("port", port["id"])}


def test_a_refused_change_leaves_nothing(net: Present) -> None:
    port = net.central.create("port", net.user, network_id=net.network["id"])
    net.jobs()
    assert net.central.call("DELETE", f"/v2.0/networks/{net.network['id']}").status == 409
    assert net.central.call("DELETE", f"/v2.0/subnets/{net.subnet['id']}").status == 409
    body = {"subnet": {"allocation_pools": [{"start": "10.0.0.250", "end": "10.0.0.254"}]}}
    reply = net.central.call("PUT", f"/v2.0/subnets/{net.subnet['id']}", body)
    assert reply.refusal() == (409, "isthmus.refused.in_use")
    assert "site1" in reply.text
    # But for asking the site to give back what it does not use, so that it may be granted later.
    assert {kind for kind, _ in net.jobs()} <= {"lease"}
    net.delete(f"ports/{port['id']}")
