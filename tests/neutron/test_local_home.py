"""Where a port lives, and the first change of it, as a site's API has them."""

import uuid
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, User, tenant
from tests.neutron.test_local_report import at_central, backlog, boot, make_network, settled

from isthmus.federation.port import SHARED
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron

CENTRAL_SECTIONS = {"ml2": {"extension_drivers": "port_security,qos,dns"}}
SITE1_SECTIONS = {"ml2": {"extension_drivers": "port_security,qos,isthmus_keys,dns"}}


class Dual:
    """A network with addresses of every kind, and what a tenant may make of a port on it."""

    def __init__(
        self,
        central: CentralServer,
        *,
        automatic: tuple[str, ...] = ("slaac", "dhcpv6-stateless"),
    ) -> None:
        self.central = central
        self.project = uuid.uuid4().hex
        self.user = tenant(self.project)
        self.network = make_network(central, self.project)
        (self.four,) = self.network_subnets()
        for number, mode in enumerate(automatic):
            self.add_automatic(mode, f"2001:db8:{number + 1}::/64")
        self.group = central.create("security_group", self.user, name="g")

    def add_automatic(self, mode: str, prefix: str) -> str:
        """Add a subnet whose addresses follow from the MAC; gives its id."""
        made = self.central.create(
            "subnet",
            self.user,
            network_id=self.network["id"],
            cidr=prefix,
            ip_version=6,
            ipv6_address_mode=mode,
            ipv6_ra_mode=mode,
        )
        return str(made["id"])

    def network_subnets(self) -> list[str]:
        path = f"/v2.0/subnets?network_id={self.network['id']}"
        return [one["id"] for one in self.central.call("GET", path).only()]

    def port(self) -> dict[str, Any]:
        return self.central.create("port", self.user, network_id=self.network["id"])

    def policy(self) -> str:
        """Make a QoS policy at central, as a manager of the project may."""
        manager = User(f"manager-of-{self.project}", self.project, ("manager", "member", "reader"))
        body = {"policy": {"name": "p"}}
        return str(self.central.call("POST", "/v2.0/qos/policies", body, manager).only()["id"])

    def change(self, name: str) -> dict[str, Any]:
        """Say a change of one shared attribute, as a person makes it."""
        new: dict[str, Any] = {
            "name": "new",
            "description": "new",
            "admin_state_up": False,
            "mac_address": "fa:16:41:00:12:34",
            "fixed_ips": [{"subnet_id": self.four}, {"subnet_id": self.four}],
            "security_groups": [self.group["id"]],
            "allowed_address_pairs": [{"ip_address": "10.0.0.250"}],
            "port_security_enabled": False,
            "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}],
            "dns_name": "new",
        }
        if name == "qos_policy_id":
            new[name] = self.policy()
        more: dict[str, Any] = {"security_groups": []} if name == "port_security_enabled" else {}
        return {name: new[name], **more}


def form(port: dict[str, Any], name: str) -> Any:
    value = port[name]
    if name == "fixed_ips":
        return sorted((one["subnet_id"], one["ip_address"]) for one in value)
    if name == "extra_dhcp_opts":
        return sorted((one["opt_name"], one["opt_value"]) for one in value)
    return value


def quiet(central: CentralServer, site: LocalServer, port_id: str) -> None:
    """Carry everything both ways until neither tier has anything to say of a port."""

    def nothing_left() -> bool:
        carry(central, site)
        return not backlog(site, port_id) and ("port", port_id) not in central.jobs(site.site)

    until(nothing_left, timeout_s=60, what="nothing is left to say")


@pytest.mark.parametrize("after", ["bundle", "intent"])
@pytest.mark.parametrize("name", SHARED)
def test_the_first_change_at_a_site_is_kept(
    central: CentralServer, site1: LocalServer, name: str, after: str
) -> None:
    net = Dual(central)
    port = net.port()
    assert by_type(
        central.bundle("site1", "port", port["id"], project=net.project)["items"], "port"
    )
    items = central.bundle("site1", "port", port["id"], project=net.project)["items"]
    assert set(site1.apply(*items).values()) == {""}
    if after == "intent":
        other = "name" if name == "description" else "description"
        body = {"port": {other: "from central"}}
        central.call("PUT", f"/v2.0/ports/{port['id']}", body).only()
        quiet(central, site1, port["id"])
    # Neutron's policy leaves MACs to administrators.
    user = ADMIN if name == "mac_address" else net.user
    changed = site1.update("port", port["id"], user, **net.change(name)).only()
    quiet(central, site1, port["id"])
    here = site1.get(f"ports/{port['id']}").only()
    there = at_central(central, port["id"])
    assert there is not None
    assert form(here, name) == form(changed, name), "it is not undone here"
    assert form(there, name) == form(changed, name), "and is known there"
    if name == "fixed_ips":
        assert len([one for one in there["fixed_ips"] if one["subnet_id"] == net.four]) == 2


def test_a_get_moves_nothing_and_a_change_brings_it(
    central: CentralServer, site1: LocalServer
) -> None:
    net = Dual(central)
    port = net.port()
    path = f"/v2.0/site-mappings?type=port&resource_id={port['id']}"
    shown = site1.get(f"ports/{port['id']}", net.user).only()
    assert shown["fixed_ips"] == port["fixed_ips"]
    (listed,) = site1.get(f"ports?id={port['id']}&network_id={net.network['id']}", net.user).only()
    assert listed["id"] == port["id"]
    assert site1.get(f"ports?id={port['id']}&name=other", net.user).only() == []
    assert set(site1.get(f"ports/{port['id']}?fields=id", net.user).only()) == {"id"}
    stranger = tenant(uuid.uuid4().hex)
    assert site1.get(f"ports/{port['id']}", stranger).status == 404
    assert site1.update("port", port["id"], stranger, name="mine").status == 404
    assert site1.delete("port", port["id"], stranger).status == 404
    assert central.call("GET", path).only() == []
    changed = site1.update("port", port["id"], net.user, name="here").only()
    assert changed["name"] == "here"
    assert [row["site"] for row in central.call("GET", path).only()] == ["site1"]
    other = net.port()
    assert site1.delete("port", other["id"], net.user).status == 204
    until(lambda: at_central(central, other["id"]) is None, what="it is gone at central")


def test_nova_binds_a_port_that_was_made_at_central(
    central: CentralServer, site1: LocalServer
) -> None:
    net = Dual(central)
    port = net.port()
    assert site1.get(f"ports/{port['id']}", net.user).status == 200
    body = {"device_id": "vm", "device_owner": "compute:nova", "binding:host_id": "host1"}
    bound = site1.update("port", port["id"], ADMIN, **body).only()
    assert bound["binding:vif_type"] == "ovs"
    settled(site1, port["id"])
    there = at_central(central, port["id"])
    assert there is not None
    assert there["binding:host_id"] == "site1/host1"


def test_a_bound_port_is_not_given_up(central: CentralServer, site1: LocalServer) -> None:
    net = Dual(central)
    port = net.port()
    site1.update("port", port["id"], net.user, name="here").only()
    quiet(central, site1, port["id"])
    central.bundle("site2", "network", net.network["id"], project=net.project)
    assert site1.wan is not None
    site1.wan.cut()
    try:  # central asks site1 to let go, and does not know that a server is on it by now
        site1.update("port", port["id"], ADMIN, **{"binding:host_id": "host1"}).only()
        (refused,) = central.bundle("site2", "port", port["id"], project=net.project)["refused"]
        assert "moving" in refused["message"]
        assert carry(central, site1)[port["id"]] == "isthmus.refused.in_use"
        assert site1.get(f"ports/{port['id']}").only()["binding:host_id"] == "host1"
    finally:
        site1.wan.heal()
    quiet(central, site1, port["id"])
    (refused,) = central.bundle("site2", "port", port["id"], project=net.project)["refused"]
    assert refused["code"] == "isthmus.refused.conflict"
    assert site1.get(f"ports/{port['id']}").only()["binding:host_id"] == "host1"


def test_an_unused_port_is_given_up_once_all_of_it_is_told(
    central: CentralServer, site1: LocalServer
) -> None:
    net = Dual(central)
    port = net.port()
    site1.update("port", port["id"], net.user, name="here").only()
    quiet(central, site1, port["id"])
    central.bundle("site2", "network", net.network["id"], project=net.project)
    assert site1.wan is not None
    site1.wan.cut()
    try:
        site1.update("port", port["id"], net.user, description="not told yet").only()
        assert central.bundle("site2", "port", port["id"], project=net.project)["refused"]
        assert carry(central, site1)[port["id"]] == "isthmus.transient.busy"
    finally:
        site1.wan.heal()
    quiet(central, site1, port["id"])
    assert port["id"] not in {row["id"] for row in site1.rows("ports")}
    items = central.bundle("site2", "port", port["id"], project=net.project)["items"]
    (state,) = by_type(items, "port")
    assert state["description"] == "not told yet"


def test_a_mac_by_name_is_asked_for(central: CentralServer, site1: LocalServer) -> None:
    assert site1.wan is not None
    net = Dual(central)
    mac = "fa:16:41:00:55:01"
    central.create("port", net.user, network_id=net.network["id"], mac_address=mac)
    asked: dict[str, Any] = {"network_id": net.network["id"], "mac_address": mac}
    site1.create("port", net.user, network_id=net.network["id"])
    refused = site1.try_create("port", net.user, **asked)
    assert refused.refusal() == (409, "MacAddressInUse")
    free = site1.create("port", net.user, **{**asked, "mac_address": "fa:16:41:00:55:02"})
    assert site1.update("port", free["id"], ADMIN, mac_address=mac).status == 409
    same = site1.update("port", free["id"], ADMIN, mac_address=free["mac_address"])
    assert same.status == 200
    site1.wan.cut()
    try:  # cut off, it is taken, and told as soon as that is possible
        taken = site1.create("port", net.user, **asked)
    finally:
        site1.wan.heal()

    def told() -> bool:
        rows = central.call("GET", f"/v2.0/site-refusals?resource_id={taken['id']}").only()
        return bool(rows)

    until(told, timeout_s=60, what="the conflict is seen at central")
    assert site1.delete("port", taken["id"]).status == 204
    until(lambda: not told(), timeout_s=60, what="it is seen no more")


def test_what_is_refused_of_a_port_does_not_hold_up_the_rest(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    net = Dual(central)
    network = net.network
    port = boot(site1, network)
    settled(site1, port["id"])
    site1.wan.cut()
    try:  # a group goes at central while the cut site gives it to a port
        central.bundle("site1", "security_group", net.group["id"], project=net.project)
        state = central.desired("site1", ("security_group", net.group["id"]))
        item = {"type": "security_group", "id": net.group["id"], "state": state.popitem()[1]}
        assert site1.apply(item) == {net.group["id"]: ""}
        change = {"name": "new", "security_groups": [net.group["id"]]}
        site1.update("port", port["id"], ADMIN, **change).only()
        assert central.call("DELETE", f"/v2.0/security-groups/{net.group['id']}").status == 204
    finally:
        site1.wan.heal()

    def named() -> str:
        there = at_central(central, port["id"])
        return str(there and there["name"])

    until(lambda: named() == "new", timeout_s=60, what="the name is known at central")

    def refused() -> list[str]:
        rows = central.call("GET", f"/v2.0/site-refusals?resource_id={port['id']}").only()
        return [row["attributes"] for row in rows]

    until(lambda: refused() == ["security_groups"], timeout_s=60, what="the group is refused")
    # A further change comes through though the group still cannot.
    site1.update("port", port["id"], ADMIN, name="newer").only()
    until(lambda: named() == "newer", timeout_s=60, what="so is the next one")
    # With its last port the group can go at the site too, and nobody has to retry anything.
    site1.update("port", port["id"], ADMIN, security_groups=[]).only()
    until(lambda: refused() == [], timeout_s=60, what="the refusal is gone")
    quiet(central, site1, port["id"])
    until(
        lambda: (
            carry(central, site1) is not None
            and ("security_group", net.group["id"]) not in central.jobs("site1")
        ),
        timeout_s=60,
        what="the group is gone everywhere",
    )
    assert net.group["id"] not in {row["id"] for row in site1.rows("securitygroups")}


def test_a_mac_changed_while_cut_off_is_known_afterwards(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    net = Dual(central)
    port = boot(site1, net.network)
    settled(site1, port["id"])
    site1.wan.cut()
    try:
        mac = "fa:16:41:00:66:01"
        for change in ({"binding:host_id": ""}, {"mac_address": mac}, {"binding:host_id": "host2"}):
            site1.update("port", port["id"], ADMIN, **change).only()
    finally:
        site1.wan.heal()
    settled(site1, port["id"])
    there = at_central(central, port["id"])
    assert there is not None
    assert (there["mac_address"], there["binding:host_id"]) == (mac, "site1/host2")
