"""Keys of transit networks that a restored central gives out otherwise than the site has them."""

import dataclasses
import json
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import tenant
from tests.neutron.test_exits_at_site import list_rows
from tests.neutron.test_local_apply import carried
from tests.neutron.test_routers import join, make_network
from tests.ports.row_kinds.exits import DEFAULT, FLOATING, GATEWAY, HERE, make_plan, make_transit

from isthmus.federation.exits.transit import make_port
from isthmus.model.exits.plan_form import from_form, to_form
from isthmus.store.ports import datapath
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress]

FIRST = 0xFFF100


class Routers:
    """Some routers of central's at the site, each with a network of its own."""

    def __init__(self, central: CentralServer, site: LocalServer, count: int) -> None:
        self.central, self.site = central, site
        user = tenant(uuid.uuid4().hex)
        self.networks: list[Any] = []
        self.ids: list[str] = []
        for number in range(count):
            network, subnet = make_network(central, user, f"10.60.{number}.0/24")
            site.create("port", user, network_id=network["id"])
            router = central.create("router", user, name=f"r{number}")
            assert join(central, router, user, subnet_id=subnet["id"]).status == 200
            self.networks.append(network)
            self.ids.append(router["id"])
        carried(central, site)

    def say(self, number: int, key: int | None, **more: Any) -> dict[str, Any]:
        """Give what central says of a router whose transit network has a key, or of one without."""
        wanted = ("router", self.ids[number])
        state = self.central.desired("site1", wanted)[wanted]
        transit = None
        if key is not None:
            facts = dataclasses.replace(make_transit(site2=GATEWAY), datapath_key=key)
            transit = make_port(facts, HERE)
        plan = make_plan(transit=transit, routes=(DEFAULT,), floating=(FLOATING,))
        state |= {"isthmus:exits": to_form(plan), **more}
        return {"type": "router", "id": self.ids[number], "state": state}

    def apply(self, number: int, key: int | None, **more: Any) -> str:
        router_id = self.ids[number]
        return self.site.apply(self.say(number, key, **more))[router_id]

    def recorded(self) -> list[int | None]:
        rows = {one["router_id"]: one["datapath_key"] for one in self.site.rows("isthmus_exits")}
        return [rows.get(one) for one in self.ids]

    def in_ovn(self) -> list[int | None]:
        found: dict[str, int] = {}
        columns = "--columns=name,other_config"
        words = self.site.ovn.nbctl("--format=json", columns, "list", "Logical_Switch")
        for name, (_, config) in json.loads(words)["data"]:
            if dict(config).get("requested-tnl-key"):
                found[name] = int(dict(config)["requested-tnl-key"])
        assert len(set(found.values())) == len(found), found
        return [found.get(f"isthmus-transit-{one}") for one in self.ids]

    def see(self, wanted: Sequence[int | None]) -> None:
        assert self.recorded() == list(wanted)
        until(lambda: self.in_ovn() == list(wanted), what=f"keys {wanted} in OVN")
        until(lambda: self.site.holdings("ovn")["ovn"]["drift"] == [], what="nothing is left to do")

    def begin(self) -> None:
        """Have all of them at the site, each with the key that it had at first."""
        first = [self.say(number, FIRST + number) for number in range(len(self.ids))]
        assert set(self.site.apply(*first).values()) == {""}, self.site.messages
        self.see([FIRST + number for number in range(len(self.ids))])


@pytest.fixture(scope="module")
def routers(central: CentralServer, site1: LocalServer) -> Routers:
    return Routers(central, site1, 3)


@pytest.fixture
def three(routers: Routers) -> Routers:
    routers.begin()
    return routers


@pytest.mark.parametrize("together", [True, False])
def test_two_routers_change_keys_with_each_other(three: Routers, together: bool) -> None:
    if together:
        said = [three.say(0, FIRST + 1), three.say(1, FIRST)]
        assert set(three.site.apply(*said).values()) == {""}
    else:
        assert three.apply(0, FIRST + 1) == "", three.site.messages
        # Whoever had the key works on without its transit network, until it hears which it has.
        three.see([FIRST + 1, None, FIRST + 2])
        (rest,) = [
            from_form(json.loads(one["plan"]))
            for one in three.site.rows("isthmus_exits")
            if one["router_id"] == three.ids[1]
        ]
        assert (rest.transit, rest.routes, rest.floating) == (None, (), (FLOATING,))
        assert list_rows(three.site, "NAT", "router", three.ids[1]) == 1
        assert list_rows(three.site, "Logical_Router_Static_Route", "router", three.ids[1]) == 0
        assert three.apply(1, FIRST) == "", three.site.messages
    three.see([FIRST + 1, FIRST, FIRST + 2])


def test_three_routers_change_keys_in_a_ring(three: Routers) -> None:
    wanted = [FIRST + 1, FIRST + 2, FIRST]
    for number in (2, 0, 1):
        assert three.apply(number, wanted[number]) == "", three.site.messages
    three.see(wanted)
    said = [three.say(number, FIRST + number) for number in range(3)]
    assert set(three.site.apply(*said).values()) == {""}
    three.see([FIRST, FIRST + 1, FIRST + 2])


def test_a_router_that_is_to_go_keeps_no_key_from_another(three: Routers) -> None:
    """Central has forgotten the one that has it; what it says of that one comes later."""
    assert three.apply(0, FIRST + 1) == "", three.site.messages
    gone = {"type": "router", "id": three.ids[1], "state": None}
    assert three.site.apply(gone) == {three.ids[1]: ""}
    three.see([FIRST + 1, None, FIRST + 2])


def test_a_network_that_is_to_go_can_go_though_a_router_waits_for_its_key(three: Routers) -> None:
    """The router has an interface there that central has forgotten, as it has the network."""
    network = three.networks[0]["id"]
    rows = {one["network_id"]: one["datapath_key"] for one in three.site.rows("isthmus_datapaths")}
    assert three.apply(0, rows[network]) == "isthmus.transient.stale"
    assert three.recorded() == [None, FIRST + 1, FIRST + 2]
    assert three.apply(0, rows[network], **{"isthmus:interfaces": []}) == "isthmus.transient.stale"
    until(lambda: three.in_ovn()[0] is None, what="it has no transit network")
    ports = f"/v2.0/ports?network_id={network}&device_owner=network:router_interface"
    assert three.site.call("GET", ports).only() == []


def test_a_network_waits_for_the_key_until_its_router_has_heard(three: Routers) -> None:
    network, _ = make_network(three.central, tenant(uuid.uuid4().hex), "10.61.0.0/24")
    assert (
        three.central.try_create("site_presence", network_id=network["id"], site="site1").status
        == 201
    )
    wanted = ("network", network["id"])
    state = three.central.desired("site1", wanted)[wanted] | {"isthmus:datapath_key": FIRST}
    item = {"type": "network", "id": network["id"], "state": state}
    assert three.site.apply(item) == {network["id"]: "isthmus.transient.stale"}
    assert three.apply(0, FIRST + 5) == ""
    assert three.site.apply(item) == {network["id"]: ""}
    three.see([FIRST + 5, FIRST + 1, FIRST + 2])
    assert three.site.apply({**item, "state": None}) == {network["id"]: ""}


def test_a_network_whose_key_was_lost_waits_for_the_key_as_well(three: Routers) -> None:
    network, _ = make_network(three.central, tenant(uuid.uuid4().hex), "10.62.0.0/24")
    assert (
        three.central.try_create("site_presence", network_id=network["id"], site="site1").status
        == 201
    )
    wanted = ("network", network["id"])
    state = three.central.desired("site1", wanted)[wanted]
    item = {"type": "network", "id": network["id"], "state": state}
    assert three.site.apply(item) == {network["id"]: ""}
    with three.site.database(write=True) as connection:
        datapath.delete(connection, network["id"])
    item["state"] = state | {"isthmus:datapath_key": FIRST}
    assert three.site.apply(item) == {network["id"]: "isthmus.transient.stale"}
    assert three.apply(0, FIRST + 5) == ""
    assert three.site.apply(item) == {network["id"]: ""}
    three.see([FIRST + 5, FIRST + 1, FIRST + 2])
