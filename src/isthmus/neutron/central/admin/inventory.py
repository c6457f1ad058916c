"""The inventory: what central holds, for the audit that compares it with every site."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus.model.site import CENTRAL
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central.admin import listing
from isthmus.neutron.db.session import reading
from isthmus.store import jobs
from isthmus.store.tables import DATAPATHS, LEASES, LOCATIONS, ROUTINGS

#: What of Neutron's rows an audit compares.
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


class InventoryCalls:
    """One inventory, read at the moment it is asked for."""

    def get_site_inventories(
        self, context: Any, filters: Any = None, fields: Any = None, **_paging: Any
    ) -> list[listing.Row]:
        """List the one inventory; `network_id` narrows it, `fields` says which parts are read."""
        networks = list((filters or {}).get("network_id") or [])
        wanted = set(fields or _PARTS) & set(_PARTS)
        with translated():
            row: dict[str, Any] = {"id": str(CENTRAL), "tier": "central"}
            row |= {name: _PARTS[name](networks) for name in _PARTS if name in wanted}
            if networks:
                row["network_id"] = networks[0]
        return listing.to_rows([row], fields)

    def get_site_inventory(
        self,
        context: Any,
        id: str,
        fields: Any = None,
    ) -> listing.Row:
        """Show the one inventory."""
        with translated():
            return self.get_site_inventories(context, fields=fields)[0]


def _neutron(method: str, names: Sequence[str], key: str) -> Callable[[list[str]], Any]:
    def read(networks: list[str]) -> Any:
        lister = getattr(directory.get_plugin(), method)
        filters = {key: networks} if networks else {}
        rows = lister(n_context.get_admin_context(), filters=filters)
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


def _table(table: sa.Table, narrow: Callable[[list[str]], Any]) -> Callable[[list[str]], Any]:
    def read(networks: list[str]) -> Any:
        query = sa.select(table).where(*([narrow(networks)] if networks else []))
        with reading(n_context.get_admin_context()) as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        for row in rows:
            row.pop("base", None)
            if table is LEASES:
                row.update(first=str(int(row["first"])), last=str(int(row["last"])))
        return listing.to_rows(rows, None)

    return read


def _pools(networks: list[str]) -> list[str]:
    rows = directory.get_plugin().get_subnets(
        n_context.get_admin_context(), filters={"network_id": networks}, fields=["id"]
    )
    return [*networks, *(row["id"] for row in rows)]


def _of_networks(networks: list[str]) -> list[str]:
    rows = directory.get_plugin().get_ports(
        n_context.get_admin_context(), filters={"network_id": networks}, fields=["id"]
    )
    return [*_pools(networks), *(row["id"] for row in rows)]


def _journal(_networks: list[str]) -> Any:
    with reading(n_context.get_admin_context()) as connection:
        counts = jobs.count_lanes(connection)
    return {
        lane: {"backlog": count.backlog, "parked": count.parked} for lane, count in counts.items()
    }


_PARTS: Mapping[str, Callable[[list[str]], Any]] = {
    "networks": _neutron("get_networks", _NETWORK, "id"),
    "subnets": _neutron("get_subnets", _SUBNET, "network_id"),
    "ports": _neutron("get_ports", _PORT, "network_id"),
    "security_groups": _groups,
    "leases": _table(LEASES, lambda networks: LEASES.c.pool_id.in_(_pools(networks))),
    "routings": _table(
        ROUTINGS, lambda networks: ROUTINGS.c.resource_id.in_(_of_networks(networks))
    ),
    "locations": _table(LOCATIONS, LOCATIONS.c.network_id.in_),
    "datapaths": _table(DATAPATHS, DATAPATHS.c.network_id.in_),
    "journal": _journal,
}
