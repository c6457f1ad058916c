"""The inventory: what this site holds, for the audit that compares it with central."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.admin import listing
from isthmus.neutron.db.session import reading
from isthmus.neutron.local import dataplane
from isthmus.neutron.local.lease.rows import RETURNED
from isthmus.store import jobs
from isthmus.store.tables import DATAPATHS, LEASES, ROUTINGS

#: What of Neutron's rows an audit compares; the same as at central.
_NETWORK = ("id", "name", "project_id", "status", "mtu", "provider:network_type")
_SUBNET = ("id", "network_id", "cidr", "ip_version", "ipv6_address_mode", "gateway_ip")
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

_Part = Callable[[list[str]], Any]


class InventoryCalls:
    """One inventory, read at the moment it is asked for."""

    def get_site_inventories(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[listing.Row]:
        """List the one inventory; `network_id` narrows it, `fields` says which parts are read."""
        networks = list((filters or {}).get("network_id") or [])
        wanted = set(fields or _PARTS) & set(_PARTS)
        with translated():
            row: dict[str, Any] = {"id": str(directory.get_plugin().site.site), "tier": "local"}
            row |= {name: read(networks) for name, read in _PARTS.items() if name in wanted}
            if networks:
                row["network_id"] = networks[0]
        return listing.to_rows([row], fields)

    def get_site_inventory(self, context: Any, id: str, fields: Any = None) -> listing.Row:
        """Show the one inventory."""
        return self.get_site_inventories(context, fields=fields)[0]


def _neutron(method: str, names: Sequence[str], key: str) -> _Part:
    def read(networks: list[str]) -> Any:
        lister = getattr(directory.get_plugin(), method)
        rows = lister(n_context.get_admin_context(), {key: networks} if networks else {})
        return [{name: row.get(name) for name in names} for row in rows]

    return read


def _groups(_networks: list[str]) -> Any:
    rows = directory.get_plugin().get_security_groups(
        n_context.get_admin_context(), default_sg=True
    )
    return [
        {
            "id": row["id"],
            "project_id": row["project_id"],
            "rules": sorted(rule["id"] for rule in row["security_group_rules"]),
        }
        for row in rows
    ]


def _find_ids(method: str, networks: list[str]) -> list[str]:
    lister = getattr(directory.get_plugin(), method)
    found = lister(n_context.get_admin_context(), {"network_id": networks}, fields=["id"])
    return [row["id"] for row in found]


def _leases(networks: list[str]) -> Any:
    query = sa.select(LEASES).where(LEASES.c.kind != RETURNED)
    if networks:
        query = query.where(LEASES.c.pool_id.in_([*networks, *_find_ids("get_subnets", networks)]))
    rows = _rows(query)
    for row in rows:
        row.update(first=str(int(row["first"])), last=str(int(row["last"])))
    return listing.to_rows(rows, None)


def _routings(networks: list[str]) -> Any:
    query = sa.select(ROUTINGS)
    if networks:
        ids = [*networks, *_find_ids("get_subnets", networks), *_find_ids("get_ports", networks)]
        query = query.where(ROUTINGS.c.resource_id.in_(ids))
    rows = _rows(query)
    for row in rows:
        row.pop("base", None)
    return listing.to_rows(rows, None)


def _datapaths(networks: list[str]) -> Any:
    query = sa.select(DATAPATHS)
    return _rows(query.where(DATAPATHS.c.network_id.in_(networks)) if networks else query)


def _shadows(networks: list[str]) -> Any:
    found = dataplane.collect_shadows(n_context.get_admin_context())
    return [one for one in found if not networks or one["network_id"] in networks]


def _ovn(_networks: list[str]) -> Any:
    return dataplane.collect(n_context.get_admin_context())


def _journal(_networks: list[str]) -> Any:
    with reading(n_context.get_admin_context()) as connection:
        counts = jobs.count_lanes(connection)
    return {
        lane: {"backlog": count.backlog, "parked": count.parked} for lane, count in counts.items()
    }


def _rows(query: sa.Select[Any]) -> list[dict[str, Any]]:
    with reading(n_context.get_admin_context()) as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


_PARTS: Mapping[str, _Part] = {
    "networks": _neutron("get_networks", _NETWORK, "id"),
    "subnets": _neutron("get_subnets", _SUBNET, "network_id"),
    "ports": _neutron("get_ports", _PORT, "network_id"),
    "security_groups": _groups,
    "leases": _leases,
    "routings": _routings,
    "datapaths": _datapaths,
    "shadows": _shadows,
    "ovn": _ovn,
    "journal": _journal,
}
