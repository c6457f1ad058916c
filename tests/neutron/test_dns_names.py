"""Names of ports in DNS: OVN of each site answers for the ports of all sites."""

import json
import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, User, tenant
from tests.neutron.test_central_report import born, item
from tests.neutron.test_local_apply import carried
from tests.neutron.test_own_networks import findings
from tests.neutron.test_renewal import Pair

from isthmus.testing.until import until

pytestmark = pytest.mark.neutron

CENTRAL_SECTIONS = {"ml2": {"extension_drivers": "port_security,qos,dns"}}
SITE1_SECTIONS = {"ml2": {"extension_drivers": "port_security,qos,isthmus_keys,dns"}}
BOUND = {"binding:host_id": "host1", "device_owner": "compute:nova", "device_id": "vm"}


def answers(site: LocalServer, network_id: str) -> dict[str, str]:
    """Give what OVN of a site answers on a network: of its own ports, and of others."""
    words = ("--format=json", "--columns=dns_records", "find", "Logical_Switch")
    found = json.loads(site.ovn.nbctl(*words, f"name=neutron-{network_id}"))["data"]
    cells: Any = found[0][0] if found else ["set", []]
    ids = [one[1] for one in cells[1]] if cells[0] == "set" else [cells[1]]
    records: dict[str, str] = {}
    for one in ids:
        ((said,),) = json.loads(
            site.ovn.nbctl("--format=json", "--columns=records", "list", "DNS", one)
        )["data"]
        records |= dict(said[1])
    return records


class World:
    """A network at both sites; site2 only says what it has."""

    def __init__(self, central: CentralServer, site: LocalServer) -> None:
        self.central, self.site = central, site
        self.user: User = tenant(uuid.uuid4().hex)
        self.network = central.create("network", self.user, name="n", dns_domain="inner.org.")
        self.subnet = central.create(
            "subnet", self.user, network_id=self.network["id"], cidr="10.0.0.0/24", ip_version=4
        )

    def report_far(self, **more: Any) -> dict[str, Any]:
        """Have site2 report a server."""
        items = self.central.bundle(
            "site2", "network", self.network["id"], project=self.user.project
        )["items"]
        firsts = {
            one["state"]["kind"]: int(one["state"]["first"])
            for one in items
            if one["type"] == "lease"
        }
        place = {"network_id": self.network["id"], "project_id": self.user.project}
        address = f"10.0.0.{firsts['subnet'] - 10 * 2**24}"
        state = born(place, self.subnet["id"], address, [], firsts["port_key"]) | more
        state["mac_address"] = state["mac_address"].replace("fa:16:01", "fa:16:02")
        self.say(state)
        return state

    def say(self, state: dict[str, Any]) -> None:
        (result,) = self.central.report("site2", item(state))
        assert result["code"] == "", result

    def becomes(self, records: dict[str, str]) -> None:
        carried(self.central, self.site)
        until(
            lambda: answers(self.site, self.network["id"]) == records,
            what=f"{records}, not {answers(self.site, self.network['id'])}",
            timeout_s=60,
        )


def named(name: str, address: str) -> dict[str, str]:
    reverse = ".".join((*reversed(address.split(".")), "in-addr.arpa"))
    full = f"{name}.example.org"
    return {name: address, full: address, f"{name}.inner.org": address, reverse: full}


def test_a_site_answers_for_its_own_ports_and_for_those_of_others(
    central: CentralServer, site1: LocalServer
) -> None:
    world = World(central, site1)
    network_id = world.network["id"]
    assert site1.get(f"networks/{network_id}", world.user).only()["dns_domain"] == "inner.org."
    # One that is made at central, and used here.
    web = central.create("port", world.user, network_id=network_id, dns_name="web")
    assert web["dns_name"] == "web"
    assert site1.update("port", web["id"], ADMIN, **BOUND).status == 200
    assert site1.get(f"ports/{web['id']}").only()["dns_name"] == "web"
    of_web = named("web", web["fixed_ips"][0]["ip_address"])
    world.becomes(of_web)
    # Nova names a server's port after the server, at its site.
    body = {"network_id": network_id, "project_id": world.user.project, "dns_name": "mine"}
    mine = site1.create("port", ADMIN, **body, **BOUND)
    of_mine = named("mine", mine["fixed_ips"][0]["ip_address"])
    pair = Pair(central, site1)
    pair.settle()
    assert central.call("GET", f"/v2.0/ports/{mine['id']}").only()["dns_name"] == "mine"
    world.becomes({**of_web, **of_mine})
    # One of the other site is answered for as well, and its reverse name.
    far = world.report_far(dns_name="far")
    of_far = named("far", far["fixed_ips"][0]["ip_address"])
    world.becomes({**of_web, **of_mine, **of_far})
    pair.settle()
    assert findings(pair, web["id"], mine["id"], far["id"]) == []
    # A name is changed at central, and at a site.
    path = f"/v2.0/ports/{far['id']}"
    renamed = central.call("PUT", path, {"port": {"dns_name": "other"}}, world.user)
    assert renamed.status == 200, renamed.text
    of_far = named("other", far["fixed_ips"][0]["ip_address"])
    assert site1.update("port", mine["id"], ADMIN, dns_name="ours").status == 200
    pair.settle()
    of_mine = named("ours", mine["fixed_ips"][0]["ip_address"])
    world.becomes({**of_web, **of_mine, **of_far})
    assert central.call("GET", f"/v2.0/ports/{mine['id']}").only()["dns_name"] == "ours"
    # Nothing is left of a port without a name, or that is no more.
    assert central.call("PUT", path, {"port": {"dns_name": ""}}, world.user).status == 200
    world.becomes({**of_web, **of_mine})
    for one in (web["id"], mine["id"]):
        assert central.call("DELETE", f"/v2.0/ports/{one}").status == 204
    world.becomes({})
    pair.settle()
    assert findings(pair, web["id"], mine["id"], far["id"]) == []


@pytest.mark.parametrize("name", [["x"], "two words", "x" * 300, 7])
def test_a_name_that_is_none_is_not_taken_from_a_site(
    central: CentralServer, site1: LocalServer, name: Any
) -> None:
    world = World(central, site1)
    far = world.report_far()
    (result,) = central.report("site2", item({**far, "isthmus:base": dict(far), "dns_name": name}))
    assert result["code"] == "isthmus.refused.invalid", result
    assert central.call("GET", f"/v2.0/ports/{far['id']}").only()["dns_name"] == ""


def test_a_floating_ip_is_made_changed_and_removed_beside_names(central: CentralServer) -> None:
    """Neutron's own class asks for the part of DNS, once ML2 has its driver."""
    outside = central.create("network", ADMIN, name=uuid.uuid4().hex, **{"router:external": True})
    cidr = {"network_id": outside["id"], "cidr": "203.0.113.0/24", "ip_version": 4}
    central.create("subnet", ADMIN, **cidr)
    floating = central.create("floatingip", ADMIN, floating_network_id=outside["id"])
    assert (floating["dns_name"], floating["dns_domain"]) == ("", "")
    path = f"/v2.0/floatingips/{floating['id']}"
    changed = central.call("PUT", path, {"floatingip": {"description": "mine"}}, ADMIN)
    assert changed.status == 200, changed.text
    assert central.call("DELETE", path, user=ADMIN).status == 204
