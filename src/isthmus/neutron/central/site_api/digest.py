"""Digests of what a site should hold, for renewals; see `isthmus.federation.renewal`."""

from collections.abc import Collection, Sequence
from typing import Any

from neutron.common import ipv6_utils
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.federation.digest import PAGE, Page, cut_page, make_digest
from isthmus.model import attribute
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.central.site_api import desired
from isthmus.neutron.db.session import reading
from isthmus.store.leases import holding
from isthmus.store.ports import location


def make_page(
    site: SiteName,
    kind: ResourceType,
    after: str,
    attributes: Collection[str],
    *,
    network: str = "",
) -> Page:
    """Return the page of a site's objects of one type that follows an id.

    Args:
        site: the site.
        kind: type of the objects.
        after: last id of the previous page; empty for the first page.
        attributes: the attributes that the site takes of such objects.
        network: id of the only network whose objects are on the page; empty for all.
    """
    with reading(n_context.get_admin_context()) as connection:
        ids = holding.list_wanted(connection, site, kind, after, PAGE + 1, network=network)
    until, ids = cut_page(ids)
    items = desired.read_desired(kind, site, ids)
    if kind is ResourceType.PORT:
        _complete(items)
    digests = {item.id: make_digest(item.state, attributes) for item in items}
    return Page(kind=kind, after=after, until=until, digests=digests, network=network)


def _complete(items: Sequence[Item]) -> None:
    """Add to ports their locations and which of their addresses are derived from the MAC."""
    states: list[Any] = [item.state for item in items if item.state is not None]
    context = n_context.get_admin_context()
    with reading(context) as connection:
        locations = location.peek_locations(connection, [state["id"] for state in states])
    wanted = {one["subnet_id"] for state in states for one in state["fixed_ips"]}
    subnets = directory.get_plugin().get_subnets(context, {"id": sorted(wanted)}) if wanted else []
    auto = {one["id"] for one in subnets if ipv6_utils.is_auto_address_subnet(one)}
    for state in states:
        located = locations.get(state["id"])
        state[attribute.LOCATION] = located and {
            "chassis": located.chassis,
            "hostname": located.hostname,
            "encap_ip": located.encap_ip,
            "port_key": located.port_key,
        }
        found = {one["subnet_id"] for one in state["fixed_ips"]} & auto
        state[attribute.AUTO_SUBNETS] = sorted(found)
