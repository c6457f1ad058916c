"""What tests do with gateways and floating IPs at central, and see of what sites are told."""

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.server import ADMIN, READER, Reply, User
from tests.neutron.test_routers import join, make_network

from isthmus.model import attribute
from isthmus.model.exits.plan import SitePlan
from isthmus.model.exits.plan_form import from_form
from isthmus.store.sql.tables import JOURNAL

_NUMBERS = itertools.count(1)


def extend(central: CentralServer, network: Any, site: str) -> Any:
    return central.try_create("site_presence", network_id=network["id"], site=site)


def presences(central: CentralServer, network: Any) -> set[str]:
    rows = central.call("GET", f"/v2.0/site-presences?network_id={network['id']}").only()
    return {row["site"] for row in rows if not row["withdrawn"]}


def sites_of(central: CentralServer, router: Any) -> set[str]:
    path = f"/v2.0/site-mappings?resource_id={router['id']}&type=router"
    return {row["site"] for row in central.call("GET", path).only() if not row["withdrawn"]}


def make_outside(central: CentralServer, site: int | None, cidr: str = "") -> tuple[Any, Any]:
    """Make an external network on the fabric of a site, or at none."""
    body: dict[str, Any] = {"name": "outside", "router:external": True, "shared": False}
    if site is not None:
        body |= {
            "provider:network_type": "flat",
            "provider:physical_network": f"p{uuid.uuid4().hex[:8]}",
            "availability_zone_hints": [f"zone{site}"],
        }
    network = central.create("network", ADMIN, **body)
    cidr = cidr or f"172.20.{next(_NUMBERS)}.0/24"
    subnet = central.create(
        "subnet", ADMIN, network_id=network["id"], cidr=cidr, ip_version=4, enable_dhcp=False
    )
    return network, subnet


def set_gateway(central: CentralServer, router: Any, user: User, network: Any | None) -> Reply:
    info = {"network_id": network["id"]} if network is not None else None
    body = {"router": {"external_gateway_info": info}}
    return central.call("PUT", f"/v2.0/routers/{router['id']}", body, user)


def add_gateway(central: CentralServer, router: Any, network: Any, user: User) -> Reply:
    body = {"router": {"external_gateways": [{"network_id": network["id"]}]}}
    return central.call("PUT", f"/v2.0/routers/{router['id']}/add_external_gateways", body, user)


def state_at(central: CentralServer, site: str, router: Any) -> Any:
    key = ("router", router["id"])
    return central.desired(site, key)[key]


def plan_at(central: CentralServer, site: str, router: Any) -> SitePlan:
    return from_form(state_at(central, site, router)[attribute.EXITS])


def make_inside(
    central: CentralServer, user: User, *sites: str, cidr: str = "10.1.0.0/24"
) -> tuple[Any, Any, Any]:
    """Make a router that joins a network which is at some sites."""
    network, subnet = make_network(central, user, cidr)
    for site in sites:
        assert extend(central, network, site).status == 201
    router = central.create("router", user, name="r")
    assert join(central, router, user, subnet_id=subnet["id"]).status == 200
    return router, network, subnet


def remove(central: CentralServer, kind: str, one: str, user: User) -> Reply:
    return central.call("DELETE", f"/v2.0/{kind}s/{one}", user=user)


def told(central: CentralServer, router: Any) -> set[str]:
    """Give the sites that are told of a router, and have all of them take what they are told."""
    query = sa.select(JOURNAL.c.lane).where(
        JOURNAL.c.type == "router", JOURNAL.c.resource_id == router["id"]
    )
    with central.database() as connection:
        found = set(connection.scalars(query))
    central.clear_journal()
    return found


def put_floating(central: CentralServer, floating: Any, user: User, **body: Any) -> Reply:
    path = f"/v2.0/floatingips/{floating['id']}"
    return central.call("PUT", path, {"floatingip": body}, user)


def see_refused(central: CentralServer, router: Any, name: str, call: Callable[[], Reply]) -> None:
    """See that something is refused, and that a site which looks again finds nothing new."""

    def look() -> Any:
        sites = sorted(sites_of(central, router))
        states = {site: state_at(central, site, router) for site in sites}
        wanted = (attribute.EXITS, attribute.GATEWAY, attribute.INTERFACES)
        return {site: {one: states[site][one] for one in wanted} for site in sites}

    before = look()
    refused = call()
    assert refused.status == 409, refused.text
    assert f"({name})" in refused.text
    assert look() == before


def networks_of(central: CentralServer, router: Any) -> set[str]:
    ports = central.call("GET", f"/v2.0/ports?device_id={router['id']}").only()
    return {port["network_id"] for port in ports}


def see_shown(
    central: CentralServer,
    router: Any,
    user: User,
    gateways: dict[str, str],
    subnets: dict[str, list[str]],
) -> None:
    """See that an operator is shown what sites are told, and a tenant nothing."""
    path = f"/v2.0/router-exits/{router['id']}"
    shown = central.call("GET", path, user=READER).only()
    assert {one["id"]: one["site"] for one in shown["gateways"]} == gateways
    assert {one["id"]: one["sites"] for one in shown["subnets"]} == subnets
    assert {one["site"] for one in shown["sites"]} == sites_of(central, router)
    for one in shown["sites"]:
        state = state_at(central, one["site"], router)[attribute.EXITS]
        assert {name: one[name] for name in state} == state
    assert central.call("GET", path, user=user).status == 404
