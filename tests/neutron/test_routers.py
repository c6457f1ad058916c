"""Routers that central has: what they are at a site, and in its OVN."""

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, User, tenant
from tests.neutron.test_local_apply import carried
from tests.neutron.test_provider_networks import ask

from isthmus.federation.audits.audit import audit
from isthmus.federation.audits.holdings import parse_holdings
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import SITE_MAPPINGS
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


def make_network(central: CentralServer, user: User, cidr: str, **more: Any) -> tuple[Any, Any]:
    network = central.create("network", user, name=cidr, **more)
    subnet = central.create(
        "subnet", user, network_id=network["id"], cidr=cidr, ip_version=4 + 2 * (":" in cidr)
    )
    return network, subnet


def join(central: CentralServer, router: Any, user: User, **how: str) -> Any:
    path = f"/v2.0/routers/{router['id']}/add_router_interface"
    return central.call("PUT", path, how, user)


def leave(central: CentralServer, router: Any, user: User, **how: str) -> Any:
    path = f"/v2.0/routers/{router['id']}/remove_router_interface"
    return central.call("PUT", path, how, user)


def row(site: LocalServer, table: str, name: str, column: str) -> str:
    return site.ovn.nbctl("--if-exists", "--bare", f"--columns={column}", "list", table, name)


def find_router(site: LocalServer, router: Any) -> str:
    name = f"name=neutron-{router['id']}"
    return site.ovn.nbctl("--bare", "--columns=_uuid", "find", "Logical_Router", name)


def test_a_router_joins_a_network_that_is_here_with_one_that_is_not(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    here, subnet = make_network(central, user, "10.1.0.0/24")
    _, other = make_network(central, user, "10.2.0.0/24")
    local = site1.create("port", user, network_id=here["id"])
    router = central.create("router", user, name="r")
    for one in (subnet, other):
        joined = join(central, router, user, subnet_id=one["id"])
        assert joined.status == 200, joined.text
    carried(central, site1)
    shown = site1.get(f"routers/{router['id']}", user).only()
    assert (shown["name"], shown["status"]) == ("r", "ACTIVE")
    path = f"/v2.0/ports?device_id={router['id']}"
    ports = {one["id"]: one for one in central.call("GET", path).only()}
    assert len(ports) == 2
    for one in site1.call("GET", path).only():
        wanted = ports.pop(one["id"])
        for name in ("mac_address", "fixed_ips", "network_id", "device_owner", "project_id"):
            assert one[name] == wanted[name], name
        assert wanted["status"] == "ACTIVE"
        lrp = f"lrp-{one['id']}"
        assert row(site1, "Logical_Router_Port", lrp, "mac") == one["mac_address"]
        address = one["fixed_ips"][0]["ip_address"]
        assert row(site1, "Logical_Router_Port", lrp, "networks") == f"{address}/24"
        assert "requested-tnl-key=" in row(site1, "Logical_Switch_Port", one["id"], "options")
    assert ports == {}
    assert find_router(site1, router)
    # What the site's own Neutron notes of interfaces is no news to central.
    homes = central.call("GET", f"/v2.0/site-mappings?resource_id={joined.body['port_id']}").only()
    assert homes == []
    assert local["id"] in {one["id"] for one in site1.holdings("ports")["ports"]}


def test_a_router_is_changed_and_removed_at_central_alone(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    network, subnet = make_network(central, user, "10.1.0.0/24")
    mine = site1.create("port", user, network_id=network["id"])
    router = central.create("router", user, name="r")
    asked = central.create("port", user, network_id=network["id"], name="gate")
    made = join(central, router, user, port_id=asked["id"])
    assert made.status == 200, made.text
    hop = central.create("port", user, network_id=network["id"])["fixed_ips"][0]["ip_address"]
    route = {"destination": "192.0.2.0/24", "nexthop": hop}
    body = {"routes": [route], "admin_state_up": False, "description": "d", "name": "s"}
    changed = central.call("PUT", f"/v2.0/routers/{router['id']}", {"router": body}, user)
    assert changed.status == 200, changed.text
    carried(central, site1)
    shown = site1.get(f"routers/{router['id']}", user).only()
    assert {name: shown[name] for name in body} == body
    static = site1.ovn.nbctl(
        "--bare",
        "--columns=ip_prefix,nexthop",
        "find",
        "Logical_Router_Static_Route",
        f"nexthop={hop}",
    )
    assert static.split() == ["192.0.2.0/24", hop]
    path = f"/v2.0/routers/{router['id']}"
    check_guarded(site1, user, path, asked["id"], subnet["id"], route)
    again = {"router": {"routes": [], "admin_state_up": True}}
    assert central.call("PUT", path, again, user).status == 200
    renamed = central.call("PUT", f"/v2.0/ports/{asked['id']}", {"port": {"name": "way"}}, user)
    assert renamed.status == 200, renamed.text
    carried(central, site1)
    shown = site1.get(f"routers/{router['id']}", user).only()
    assert (shown["routes"], shown["admin_state_up"]) == ([], True)
    assert site1.get(f"ports/{asked['id']}", user).only()["name"] == "way"
    # In whatever order: the network goes first at the site, where its port has gone.
    assert site1.delete("port", mine["id"], user).status == 204
    assert leave(central, router, user, port_id=asked["id"]).status == 200
    assert central.call("DELETE", path, user=user).status == 204
    carried(central, site1)
    assert site1.get(f"routers/{router['id']}").status == 404
    assert site1.get(f"ports/{asked['id']}").status == 404
    assert find_router(site1, router) == ""
    assert row(site1, "Logical_Router_Port", f"lrp-{asked['id']}", "mac") == ""
    with central.database() as connection:
        assert list_mapped(connection, router["id"]) == []
    with site1.database() as connection:
        assert list_mapped(connection, router["id"]) == []


def check_guarded(
    site1: LocalServer, user: User, path: str, port_id: str, subnet_id: str, route: Any
) -> None:
    """See that the site changes nothing of a router of central's, by whichever call."""
    for call, where, said in (
        ("PUT", path, {"router": {"name": "mine"}}),
        ("DELETE", path, None),
        ("PUT", f"{path}/add_router_interface", {"subnet_id": subnet_id}),
        ("PUT", f"{path}/remove_router_interface", {"port_id": port_id}),
        ("PUT", f"{path}/remove_extraroutes", {"router": {"routes": [route]}}),
        ("PUT", f"{path}/tags/mine", None),
        ("PUT", f"/v2.0/ports/{port_id}", {"port": {"name": "mine"}}),
        ("DELETE", f"/v2.0/ports/{port_id}", None),
    ):
        refused = site1.call(call, where, said, user)
        assert refused.status == 409, (call, where, refused.text)
        assert "belongs to central" in refused.text, (call, where, refused.text)


def list_mapped(connection: sa.Connection, router_id: str) -> list[Any]:
    query = sa.select(SITE_MAPPINGS.c.site).where(SITE_MAPPINGS.c.resource_id == router_id)
    return list(connection.execute(query))


def test_one_interface_has_several_ipv6_subnets_and_answers_solicitations(
    central: CentralServer, site1: LocalServer
) -> None:
    user = tenant(uuid.uuid4().hex)
    network = central.create("network", user, name="six")
    subnets = [
        central.create(
            "subnet",
            user,
            network_id=network["id"],
            cidr=cidr,
            ip_version=6,
            ipv6_ra_mode="slaac",
            ipv6_address_mode="slaac",
        )
        for cidr in ("2001:db8:1::/64", "2001:db8:2::/64")
    ]
    site1.create("port", user, network_id=network["id"])
    until(lambda: "isthmus-ra-" in site1.ovn.nbctl("show"))
    router = central.create("router", user, name="r")
    ports = set()
    for subnet in subnets:
        joined = join(central, router, user, subnet_id=subnet["id"])
        assert joined.status == 200, joined.text
        ports.add(joined.body["port_id"])
        carried(central, site1)
    (port,) = ports
    networks = row(site1, "Logical_Router_Port", f"lrp-{port}", "networks").split()
    assert sorted(networks) == ["2001:db8:1::/64", "2001:db8:2::/64"]
    ra = row(site1, "Logical_Router_Port", f"lrp-{port}", "ipv6_ra_configs")
    assert "address_mode=slaac" in ra
    assert "max_interval=10" in ra  # servers that heard the responder soon hear the router
    # The site's own answers step back.
    until(lambda: f"isthmus-ra-{network['id']}" not in site1.ovn.nbctl("lr-list"))
    assert leave(central, router, user, subnet_id=subnets[0]["id"]).status == 200
    carried(central, site1)
    networks = row(site1, "Logical_Router_Port", f"lrp-{port}", "networks").split()
    assert networks == ["2001:db8:2::/64"]
    until(lambda: f"isthmus-ra-{network['id']}" in site1.ovn.nbctl("lr-list"))
    assert leave(central, router, user, subnet_id=subnets[1]["id"]).status == 200
    carried(central, site1)
    assert find_router(site1, router) == ""  # it joins nothing any more
    assert row(site1, "Logical_Router_Port", f"lrp-{port}", "networks") == ""


def test_a_router_hears_of_its_network_that_comes_where_it_is_already(
    central: CentralServer,
) -> None:
    """As after a restore, when central has lost that one of its networks is there."""
    user = tenant(uuid.uuid4().hex)
    (one, first), (two, second) = (
        make_network(central, user, f"10.{number}.0.0/24") for number in (1, 2)
    )
    router = central.create("router", user, name="r")
    for subnet in (first, second):
        assert join(central, router, user, subnet_id=subnet["id"]).status == 200
    central.bundle("site1", "network", one["id"], project=user.project)
    lost = sa.delete(SITE_MAPPINGS).where(
        SITE_MAPPINGS.c.site == "site1", SITE_MAPPINGS.c.resource_id.in_([two["id"], second["id"]])
    )
    with central.database(write=True) as connection:
        assert connection.execute(lost).rowcount == 2
    port = central.create("port", user, network_id=one["id"])
    central.clear_journal()
    central.bundle("site1", "port", port["id"], project=user.project)
    assert {("network", two["id"]), ("router", router["id"])} <= central.jobs("site1")
    central.clear_journal()  # the site never heard of what was lost: it would wait for it for ever


def test_the_audit_of_one_network_takes_its_routers_for_what_they_are(
    central: CentralServer, site1: LocalServer
) -> None:
    """Interfaces and gateways are no ports too many there, and a router that differs is told."""
    user = tenant(uuid.uuid4().hex)
    one, subnet = make_network(central, user, "10.21.0.0/24")
    two, other = make_network(central, user, "10.22.0.0/24")
    external = ask(central, "narrow", ["zone1"], **{"router:external": True}).only()
    outside = {"cidr": "172.31.21.0/24", "ip_version": 4, "network_id": external["id"]}
    central.create("subnet", ADMIN, enable_dhcp=False, **outside)
    apart, _ = make_network(central, user, "10.23.0.0/24")
    for network in (one, two, apart):
        site1.create("port", user, network_id=network["id"])
    router = central.create("router", user, name="r")
    for joined in (subnet, other):
        assert join(central, router, user, subnet_id=joined["id"]).status == 200
    gateway = {"router": {"external_gateway_info": {"network_id": external["id"]}}}
    path = f"/v2.0/routers/{router['id']}"
    assert central.call("PUT", path, gateway, user).status == 200
    carried(central, site1)

    def find(network: Any) -> list[tuple[str, str]]:
        wanted, held = (
            parse_holdings(
                server.call("GET", f"/v2.0/site-holdings?network_id={network['id']}").only()[0]
            )
            for server in (central, site1)
        )
        found = audit(wanted, {SiteName("site1"): held}).findings
        return [(verdict.code, verdict.subject.name) for verdict in found]

    everywhere = (one, two, external, apart)
    until(lambda: not any(map(find, everywhere)), what="audits that find nothing")
    with site1.database(write=True) as connection:
        renamed = "UPDATE routers SET name = 'mine' WHERE id = :id"
        connection.execute(sa.text(renamed), {"id": router["id"]})
    for network in (one, two, external):
        assert find(network) == [("router.different", router["id"])]
    assert find(apart) == []
