"""Addresses that a person gives, takes and names at a site: kept, or refused, in every tier.

What a site answers with 200 is not undone a moment later, whichever change it was and whatever
gives the network's addresses; and one MAC is one port's, wherever it was named first.
"""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Reply
from tests.neutron.test_central_report import item
from tests.neutron.test_local_home import Dual, form, quiet
from tests.neutron.test_local_report import at_central, settled

from isthmus.testing.until import until

pytestmark = pytest.mark.neutron

Change = Callable[[Dual, dict[str, Any]], list[dict[str, Any]]]


def _kept(net: Dual, port: dict[str, Any], *, four: bool) -> list[dict[str, Any]]:
    """Give the addresses of a port that are, or are not, of the IPv4 subnet."""
    return [one for one in port["fixed_ips"] if (one["subnet_id"] == net.four) is four]


#: What a person makes of a port with two IPv4 addresses and those that follow from its MAC.
CHANGES: dict[str, Change] = {
    "one more": lambda net, port: [*port["fixed_ips"], {"subnet_id": net.four}],
    "one less": lambda net, port: [*_kept(net, port, four=True)[:1], *_kept(net, port, four=False)],
    "another one": lambda net, port: [
        *_kept(net, port, four=True)[:1],
        {"subnet_id": net.four},
        *_kept(net, port, four=False),
    ],
    "IPv6 alone": lambda net, port: _kept(net, port, four=False),
    "IPv4 alone is named": lambda net, port: _kept(net, port, four=True)[1:],
}


#: The few that every run of the tests pays for; `./dev test all` does all of them.
DECISIVE = {("one more", "up"), ("one less", "up"), ("another one", "cut")}


@pytest.mark.parametrize(
    ("change", "link"),
    [
        pytest.param(change, link, marks=() if (change, link) in DECISIVE else pytest.mark.stress)
        for link in ("up", "cut")
        for change in CHANGES
    ],
)
def test_a_first_change_of_addresses_is_kept(
    central: CentralServer, site1: LocalServer, change: str, link: str
) -> None:
    assert site1.wan is not None
    net = Dual(central)
    two = [{"subnet_id": net.four}] * 2
    automatic = [{"subnet_id": one} for one in net.network_subnets() if one != net.four]
    port = central.create(
        "port", net.user, network_id=net.network["id"], fixed_ips=[*two, *automatic]
    )
    assert len(port["fixed_ips"]) == 4
    site1.update("port", port["id"], net.user, description="it lives here").only()
    quiet(central, site1, port["id"])
    if link == "cut":
        site1.wan.cut()
    try:
        wanted = CHANGES[change](net, port)
        changed = site1.update("port", port["id"], net.user, fixed_ips=wanted).only()
        if link == "cut":  # central changes something else of it meanwhile
            path = f"/v2.0/ports/{port['id']}"
            central.call("PUT", path, {"port": {"name": "from central"}}).only()
    finally:
        site1.wan.heal()
    quiet(central, site1, port["id"])
    here = site1.get(f"ports/{port['id']}").only()
    there = at_central(central, port["id"])
    assert there is not None
    assert form(here, "fixed_ips") == form(changed, "fixed_ips"), "it is not undone here"
    assert form(there, "fixed_ips") == form(changed, "fixed_ips"), "and is known there"
    assert here["name"] == there["name"] == ("from central" if link == "cut" else "")


def test_addresses_change_after_a_slaac_subnet_came(
    central: CentralServer, site1: LocalServer
) -> None:
    """Two tiers agreed on the port before there was any address that follows from its MAC."""
    net = Dual(central, automatic=())
    port = net.port()
    site1.update("port", port["id"], net.user, name="here").only()
    quiet(central, site1, port["id"])
    subnet = net.add_automatic("slaac", "2001:db8:3::/64")
    until(
        lambda: carry(central, site1) == {} and ("subnet", subnet) not in central.jobs("site1"),
        timeout_s=60,
        what="the subnet is at the site",
    )
    four = [{"subnet_id": net.four}] * 2
    changed = site1.update("port", port["id"], net.user, fixed_ips=four).only()
    quiet(central, site1, port["id"])
    for shown in (site1.get(f"ports/{port['id']}").only(), at_central(central, port["id"])):
        assert shown is not None
        assert form(shown, "fixed_ips") == form(changed, "fixed_ips")
    assert len(_kept(net, changed, four=True)) == 2


def test_a_port_is_bound_and_given_an_address_in_one_request(
    central: CentralServer, site1: LocalServer
) -> None:
    net = Dual(central)
    port = net.port()
    wanted = {
        "binding:host_id": "host1",
        "device_owner": "compute:nova",
        "fixed_ips": [*port["fixed_ips"], {"subnet_id": net.four}],
    }
    changed = site1.update("port", port["id"], ADMIN, **wanted).only()
    quiet(central, site1, port["id"])
    there = at_central(central, port["id"])
    assert there is not None
    assert form(there, "fixed_ips") == form(changed, "fixed_ips")
    assert len(_kept(net, changed, four=True)) == 2
    assert there["binding:host_id"] == "site1/host1"


class Named:
    """A MAC that is a port's, and what asks for it at a site."""

    def __init__(self, central: CentralServer, site: LocalServer, holder: str) -> None:
        self.central, self.site = central, site
        self.net = Dual(central)
        self.mac = f"fa:16:41:{uuid.uuid4().hex[:6]}"
        self.mac = ":".join((*self.mac.split(":")[:3], *_pairs(self.mac.split(":")[3])))
        self.other = site.create("port", self.net.user, network_id=self.net.network["id"])
        settled(site, self.other["id"])
        self.holder = self._hold(holder)

    def _hold(self, holder: str) -> str:
        network_id, user = self.net.network["id"], self.net.user
        if holder == "central":
            port = self.central.create("port", user, network_id=network_id, mac_address=self.mac)
        elif holder == "this site":
            port = self.site.create("port", user, network_id=network_id, mac_address=self.mac)
            settled(self.site, port["id"])
        else:
            project = self.net.project
            self.central.bundle("site2", "network", network_id, project=project)
            port = {
                "id": str(uuid.uuid4()),
                "network_id": network_id,
                "project_id": project,
                "name": "",
                "description": "",
                "admin_state_up": True,
                "mac_address": self.mac,
                "fixed_ips": [],
                "security_groups": [],
                "device_id": "",
                "device_owner": "",
                "isthmus:base": None,
                "isthmus:location": None,
            }
            (result,) = self.central.report("site2", item(port))
            assert result["code"] == "", result
        return str(port["id"])

    def asks(self, mac: str | None = None) -> dict[str, Reply]:
        """Ask for the MAC in each way there is."""
        wanted = {"network_id": self.net.network["id"], "mac_address": mac or self.mac}
        bulk = {"ports": [{"network_id": self.net.network["id"]}, wanted]}
        return {
            "one": self.site.try_create("port", self.net.user, **wanted),
            "bulk": self.site.call("POST", "/v2.0/ports", bulk, self.net.user),
            "change": self.site.update("port", self.other["id"], ADMIN, mac_address=self.mac),
        }


def _pairs(text: str) -> list[str]:
    return [text[at : at + 2] for at in range(0, len(text), 2)]


@pytest.mark.parametrize("holder", ["central", "the other site", "this site"])
def test_a_mac_is_one_ports_in_all_tiers(
    central: CentralServer, site1: LocalServer, holder: str
) -> None:
    named = Named(central, site1, holder)
    before = len(site1.get(f"ports?network_id={named.net.network['id']}").only())
    for way, reply in named.asks().items():
        assert reply.refusal() == (409, "MacAddressInUse"), way
    after = len(site1.get(f"ports?network_id={named.net.network['id']}").only())
    assert after == before, "of a bulk that is refused nothing is made"
    # On another network it is another matter, as in any Neutron.
    elsewhere = Dual(central)
    free = site1.create(
        "port", elsewhere.user, network_id=elsewhere.network["id"], mac_address=named.mac
    )
    quiet(central, site1, free["id"])
    assert at_central(central, free["id"]) is not None


def test_a_mac_is_free_when_its_port_is_gone(central: CentralServer, site1: LocalServer) -> None:
    named = Named(central, site1, "the other site")
    central.report("site2", item({"id": named.holder}, gone=True))
    wanted = {"network_id": named.net.network["id"], "mac_address": named.mac}
    port = site1.create("port", named.net.user, **wanted)
    quiet(central, site1, port["id"])
    there = at_central(central, port["id"])
    assert there is not None
    assert there["mac_address"] == named.mac


def test_a_mac_that_was_taken_while_cut_off_is_given_up(
    central: CentralServer, site1: LocalServer
) -> None:
    """The port is told, as soon as it has another MAC; nobody deletes anything."""
    assert site1.wan is not None
    named = Named(central, site1, "the other site")
    site1.wan.cut()
    try:
        asked = named.asks()["one"].only()
    finally:
        site1.wan.heal()

    def refusals() -> list[str]:
        rows = central.call("GET", f"/v2.0/site-refusals?resource_id={asked['id']}").only()
        return [row["reason"] for row in rows]

    until(lambda: bool(refusals()), timeout_s=120, what="the conflict is seen at central")
    assert named.mac in refusals()[0]
    assert at_central(central, asked["id"]) is None
    mac = named.mac[:-1] + format(int(named.mac[-1], 16) ^ 1, "x")
    changed = site1.update("port", asked["id"], ADMIN, mac_address=mac).only()
    until(lambda: not refusals(), timeout_s=120, what="it is seen no more")
    quiet(central, site1, asked["id"])
    there = at_central(central, asked["id"])
    assert there is not None
    assert there["mac_address"] == mac
    assert form(there, "fixed_ips") == form(changed, "fixed_ips")


def test_an_address_that_a_port_gave_up_is_given_out_again_while_the_port_lives_on(
    central: CentralServer, site1: LocalServer
) -> None:
    """As soon as everybody has heard, and OVN's row says so: it need not be deleted for that."""
    net = Dual(central, automatic=())
    port = site1.create("port", net.user, network_id=net.network["id"])
    former = port["fixed_ips"][0]["ip_address"]
    quiet(central, site1, port["id"])
    two = site1.update(
        "port", port["id"], net.user, fixed_ips=[*port["fixed_ips"], {"subnet_id": net.four}]
    ).only()["fixed_ips"]
    kept = [one for one in two if one["ip_address"] != former]
    site1.update("port", port["id"], net.user, fixed_ips=kept).only()
    quiet(central, site1, port["id"])

    def ask() -> Reply:
        named = {"fixed_ips": [{"ip_address": former}]}
        return site1.try_create("port", net.user, network_id=net.network["id"], **named)

    # OVN has not heard yet.
    written = site1.ovn.nbctl("lsp-get-addresses", port["id"]).strip()
    site1.ovn.nbctl("lsp-set-addresses", port["id"], f"{written} {former}")
    until(lambda: "OVN has it still" in ask().text, what="the site sees what its OVN has")
    site1.ovn.nbctl("lsp-set-addresses", port["id"], written)
    replies: list[Reply] = []

    def given() -> bool:
        replies.append(ask())
        return replies[-1].status == 201

    until(given, what="the address has rested", timeout_s=60)
    other = replies[-1].only()
    quiet(central, site1, other["id"])
    there = at_central(central, other["id"])
    assert there is not None
    assert [one["ip_address"] for one in there["fixed_ips"]] == [former]
