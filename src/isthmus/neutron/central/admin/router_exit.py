"""Router exits: by which sites routers' traffic leaves, and what does not work, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from neutron_lib import context as n_context
from neutron_lib.plugins import constants as plugin_constants
from neutron_lib.plugins import directory

from isthmus.model.exits.plan import ExitPlan, SitePlan
from isthmus.model.exits.plan_form import to_form
from isthmus.model.exits.request import Ports, RouterFacts, SiteFacts
from isthmus.model.resource import ResourceType
from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.router import exit_decision
from isthmus.neutron.central.router.facts import Facts, Reader, standing
from isthmus.neutron.db import gateways
from isthmus.neutron.db.session import reading
from isthmus.store.tiers import mapping

#: What is shown of the router itself.
_OF_ROUTER = ("id", "name", "project_id")


class RouterExitApi:
    """What is decided of routers; read-only, since it follows from them."""

    def get_router_exits(
        self, context: Any, filters: Any = None, fields: Any = None, **paging: Any
    ) -> list[listing.Row]:
        """List routers with what is decided of them."""
        lister = directory.get_plugin(plugin_constants.L3).get_routers
        with translated():
            admin = n_context.get_admin_context()  # who may see it is a matter of policy
            found = lister(admin, filters=filters, fields=list(_OF_ROUTER), **paging)
            return listing.to_rows(_describe(found), fields)

    def get_router_exit(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show what is decided of one router."""
        with translated():
            return listing.get_one(self.get_router_exits, context, "router", id, fields)


def _describe(routers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    listed = list(routers)
    ids = [one["id"] for one in listed]
    with reading(n_context.get_admin_context()) as connection:
        facts = Reader(connection, latest=False).read(ids)
        ports = gateways.list_gateways(connection, ids)
        there = mapping.peek_sites(connection, ResourceType.ROUTER, ids)
    rows = []
    for one in listed:
        router = facts.routers.get(one["id"])
        if router is None:
            continue  # it was deleted meanwhile
        plan = exit_decision.decide(facts, router.id)
        rows.append(
            {
                **{name: one[name] for name in _OF_ROUTER},
                "subnets": _show_subnets(router),
                "gateways": [_show_gateway(port, plan) for port in ports[router.id]],
                "floating_ips": _show_floating(router, plan),
                "forwardings": _show_forwardings(router, plan),
                "sites": _show_sites(facts, plan, standing(there.get(router.id, {}))),
            }
        )
    return rows


def _show_subnets(router: RouterFacts) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "cidr": str(one.cidr), "sites": sorted(one.sites)}
        for one in sorted(router.subnets, key=lambda one: (str(one.cidr), one.id))
    ]


def _show_gateway(port: Mapping[str, Any], plan: ExitPlan) -> dict[str, Any]:
    return {**port, "site": plan.seats.get(gateways.identify(port))}


def _show_floating(router: RouterFacts, plan: ExitPlan) -> list[dict[str, Any]]:
    """Show where each floating IP is translated, or why it is not."""
    at = {nat.floating_ip_id: site for site, one in plan.sites.items() for nat in one.floating}
    return [
        {
            "id": one.id,
            "address": str(one.address),
            "network_id": one.network_id,
            "fixed_address": str(one.fixed_address),
            "port_id": one.port_id,
            "home": one.home,
            "site": at.get(one.id),
            "idle": plan.idle.get(one.id),
        }
        for one in sorted(router.floating_ips, key=lambda one: one.address)
    ]


def _show_forwardings(router: RouterFacts, plan: ExitPlan) -> list[dict[str, Any]]:
    """Show where each port forwarding is answered, or why it is not."""
    at = {
        forwarded.forwarding_id: site
        for site, one in plan.sites.items()
        for forwarded in one.forwarded
        if forwarded.answers
    }
    return [
        {
            "id": one.id,
            "floating_ip_id": one.floating_ip_id,
            "address": str(one.address),
            "network_id": one.network_id,
            "protocol": one.protocol.value,
            "ports": _show_ports(one.outside),
            "fixed_address": str(one.fixed_address),
            "fixed_ports": _show_ports(one.inside),
            "port_id": one.port_id,
            "home": one.home,
            "site": at.get(one.id),
            "idle": plan.idle.get(one.id),
        }
        for one in sorted(
            router.forwardings, key=lambda one: (one.address, one.protocol, one.outside, one.id)
        )
    ]


def _show_ports(ports: Ports) -> str:
    return str(ports.first) if ports.size == 1 else f"{ports.first}:{ports.last}"


def _show_sites(facts: Facts, plan: ExitPlan, there: Iterable[str]) -> list[dict[str, Any]]:
    """Show what each site has; a disabled one is told nothing."""
    names = {*there, *plan.sites}
    return [
        _show_site(site, plan.sites.get(site.name, SitePlan()))
        for site in facts.sites
        if site.name in names
    ]


def _show_site(site: SiteFacts, plan: SitePlan) -> dict[str, Any]:
    return {
        "site": site.name,
        "state": site.state.value,
        "is_reachable": site.is_reachable,
        **to_form(plan),
    }
