"""What the holdings of both tiers have in common, so that an audit can compare them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import rbac_db_models as rbac
from neutron_lib import context as n_context
from neutron_lib.plugins import directory
from oslo_db import exception as db_exc

from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import from_any, translated
from isthmus.neutron.db.session import reading
from isthmus.store.delivery import job as job_store
from isthmus.store.sql.tables import DATAPATHS, LEASES, SITE_MAPPINGS

#: Reads one part of a tier's holdings, of these networks only; of all where the list is empty.
Part = Callable[[list[str]], Any]

#: What of Neutron's rows an audit compares.
_NETWORK = ("id", "name", "project_id", "status", "mtu", "provider:network_type", "tags")
_SUBNET = ("id", "network_id", "cidr", "ip_version", "ipv6_address_mode", "gateway_ip", "tags")
_PORT = (
    "id",
    "network_id",
    "project_id",
    "mac_address",
    "fixed_ips",
    "security_groups",
    "device_owner",
    "device_id",
    "status",
    "admin_state_up",
    "binding:host_id",
    "binding:vif_type",
    "allowed_address_pairs",
    "port_security_enabled",
)


def collect(
    tier: str, name: str, parts: Mapping[str, Part], filters: Any, fields: Any
) -> list[listing.Row]:
    """Read the holdings of a tier, as a list of the API.

    Args:
        tier: `central` or `local`.
        name: of central or the site; it is their id.
        parts: how each part is read, in the order in which they are shown.
        filters: `network_id` filters them.
        fields: which parts are read; None for all.
    """
    networks = list((filters or {}).get("network_id") or [])
    wanted = set(fields or parts) & set(parts)
    with translated():
        row: dict[str, Any] = {"id": name, "tier": tier}
        try:
            row |= {part: read(networks) for part, read in parts.items() if part in wanted}
        except db_exc.DBError as error:  # the audit shows why, and asks again
            raise from_any(error) from error
        if networks:
            row["network_id"] = networks[0]
    return listing.to_rows([row], fields)


def _neutron(method: str, names: Sequence[str], key: str, sharing: Any = None) -> Part:
    def read(networks: list[str]) -> Any:
        lister = getattr(directory.get_plugin(), method)
        filters = {key: networks} if networks and key else {}
        rows = lister(n_context.get_admin_context(), filters)
        return _shared([{name: row.get(name) for name in names} for row in rows], sharing)

    return read


def _shared(rows: list[dict[str, Any]], model: Any) -> list[dict[str, Any]]:
    """Add to rows with whom they are shared."""
    if model is None:
        return rows
    found: dict[str, list[str]] = {}
    query = sa.select(model.object_id, model.target_project, model.action)
    with reading(n_context.get_admin_context()) as connection:
        for one in connection.execute(query):
            found.setdefault(one.object_id, []).append(f"{one.action} {one.target_project}")
    return [{**row, "sharing": sorted(found.get(row["id"], ()))} for row in rows]


def _collect_groups(_networks: list[str]) -> Any:
    rows = directory.get_plugin().get_security_groups(
        n_context.get_admin_context(), default_sg=True
    )
    groups = [
        {
            "id": row["id"],
            "project_id": row["project_id"],
            "rules": sorted(rule["id"] for rule in row["security_group_rules"]),
            "tags": row.get("tags"),
        }
        for row in rows
    ]
    return _shared(groups, rbac.SecurityGroupRBAC)


#: The parts that Neutron's own rows make.
NEUTRON_PARTS: Mapping[str, Part] = {
    "networks": _neutron("get_networks", _NETWORK, "id", rbac.NetworkRBAC),
    "subnets": _neutron("get_subnets", _SUBNET, "network_id"),
    "ports": _neutron("get_ports", _PORT, "network_id"),
    "security_groups": _collect_groups,
    "address_groups": _neutron(
        "get_address_groups", ("id", "project_id", "addresses"), "", rbac.AddressGroupRBAC
    ),
}


def collect_leases(networks: list[str]) -> list[listing.Row]:
    """Read the leases of networks and of their subnets."""
    query = sa.select(LEASES)
    if networks:
        pools = [*networks, *_find_ids("get_subnets", networks)]
        query = query.where(LEASES.c.pool_id.in_(pools))
    rows = collect_rows(query)
    for row in rows:
        row.update(first=str(int(row["first"])), last=str(int(row["last"])))
    return listing.to_rows(rows, None)


def collect_mappings(networks: list[str]) -> list[listing.Row]:
    """Read the site mappings of networks, with those of their subnets and ports."""
    query = sa.select(SITE_MAPPINGS)
    if networks:
        ids = [*networks, *_find_ids("get_subnets", networks), *_find_ids("get_ports", networks)]
        query = query.where(SITE_MAPPINGS.c.resource_id.in_(ids))
    rows = collect_rows(query)
    for row in rows:
        del row["base"], row["complete"]
    return listing.to_rows(rows, None)


def collect_datapaths(networks: list[str]) -> list[listing.Row]:
    """Read the datapath keys of networks."""
    query = sa.select(DATAPATHS)
    return collect_rows(query.where(DATAPATHS.c.network_id.in_(networks)) if networks else query)


def count_jobs(_networks: list[str]) -> Any:
    """Count what waits in each lane of the journal."""
    with reading(n_context.get_admin_context()) as connection:
        counts = job_store.count_lanes(connection)
    return {
        lane: {"backlog": count.backlog, "parked": count.parked} for lane, count in counts.items()
    }


def collect_rows(query: sa.Select[Any]) -> list[listing.Row]:
    """Run a query and give its rows as dicts."""
    with reading(n_context.get_admin_context()) as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def _find_ids(method: str, networks: list[str]) -> list[str]:
    lister = getattr(directory.get_plugin(), method)
    found = lister(n_context.get_admin_context(), {"network_id": networks}, fields=["id"])
    return [row["id"] for row in found]
