"""The databases of OVN as Neutron's comparison may see them."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from neutron.common.ovn import constants as ovn_const
from neutron.common.ovn import utils as ovn_utils

from isthmus.model.dataplane.ovn import EXITS_MARK, REMOTE_FLAG

Row = dict[str, Any]
#: Types of switch ports that servers have.
_OF_SERVERS = frozenset({"", "virtual"})


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is compared of the northbound database, as it was at one moment."""

    switches: list[Row]
    dhcp_options: Row
    routers: list[Row]
    forwardings: Mapping[str, list[Any]]  #: of floating IPs, by the name of their router
    groups: list[Any]
    living: Mapping[str, Collection[Any]]  #: ports of servers that are up: their DHCP options
    left: Mapping[str, str] = field(default_factory=dict)  #: those that stay, with their switch


def _leave_living(seen: _Seen, ids: Collection[str]) -> _Seen:
    """Leave out what servers need that run on ports which Neutron does not know.

    Neutron's comparison would delete their ports, and a server that runs on would be cut off: after
    a restore only OVN knows of it. A person ends it, and takes its port away.
    """
    left = {
        port: switch["name"]
        for switch in seen.switches
        for port in switch["ports"]
        if port in seen.living and port not in ids
    }
    if not left:
        return seen
    answers = set().union(*(seen.living[port] for port in left))

    def is_needed(group: Any) -> bool:
        of = group.external_ids.get(ovn_const.OVN_SG_EXT_ID_KEY)
        return of is not None and of not in ids and not left.keys().isdisjoint(group.members)

    return replace(
        seen,
        switches=[
            {**one, "ports": [port for port in one["ports"] if port not in left]}
            for one in seen.switches
            if one["name"] not in left.values() or ovn_utils.get_neutron_name(one["name"]) in ids
        ],
        dhcp_options={
            name: {
                key: row for key, row in rows.items() if key in ids or row["uuid"] not in answers
            }
            for name, rows in seen.dhcp_options.items()
        },
        groups=[one for one in seen.groups if not is_needed(one)],
        left=left,
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """Stands for a command that reads."""

    rows: list[Any]

    def execute(self, **_options: Any) -> list[Any]:
        return self.rows


class Northbound:
    """The northbound database: without our translations, and held while it is compared.

    Neutron's comparison reads Neutron's database first and OVN afterwards: what Neutron makes in
    between is in OVN alone, and would be removed. What is read of OVN first, and not found in the
    database afterwards, was removed from it. What is written again may be there by then, and what
    is removed may be gone: neither is a failure.
    """

    def __init__(self, api: Any) -> None:
        self._api = api
        self._seen: _Seen | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    @property
    def _tables(self) -> Mapping[str, Any]:
        """Give copies of the tables that the comparison goes through while rows change."""
        with self._api.ovsdb_connection.lock:
            return {
                name: SimpleNamespace(columns=table.columns, rows=dict(table.rows))
                for name, table in self._api.tables.items()
                if name in ("ACL", "Logical_Switch")
            }

    @contextlib.contextmanager
    def held(self, list_ids: Callable[[], Collection[str]]) -> Iterator[None]:
        """Show what is compared as it is now, to the end of the block.

        Args:
            list_ids: lists the ids of all ports, networks, subnets and security groups of
                Neutron's database; asked once OVN is read.
        """
        before = self._seen
        with self._api.ovsdb_connection.lock:  # rows change in another thread
            seen = self._look()
        self._seen = _leave_living(seen, list_ids())
        try:
            yield
        finally:
            self._seen = before

    @property
    def left(self) -> Mapping[str, str]:
        """Return the ports that run and are not Neutron's, each with its switch."""
        return {} if self._seen is None else self._seen.left

    def _look(self) -> _Seen:
        routers = self._list_routers()
        names = [ovn_utils.ovn_name(one["name"]) for one in routers]
        return _Seen(
            switches=self._api.get_all_logical_switches_with_ports(),
            dhcp_options=self._api.get_all_dhcp_options(),
            routers=routers,
            forwardings={
                name: [
                    SimpleNamespace(
                        external_ids=dict(one.external_ids),
                        protocol=list(one.protocol),
                        vips=dict(one.vips),
                    )
                    for one in self._api.get_router_floatingip_lbs(name)
                ]
                for name in names
            },
            groups=[
                SimpleNamespace(
                    name=one.name,
                    external_ids=dict(one.external_ids),
                    members=frozenset(port.name for port in one.ports),
                )
                for one in self._api.tables["Port_Group"].rows.values()
            ],
            living={
                one.name: {row.uuid for row in (*one.dhcpv4_options, *one.dhcpv6_options)}
                for one in self._api.tables["Logical_Switch_Port"].rows.values()
                if one.type in _OF_SERVERS and list(one.up) == [True]
            },
        )

    def _list_routers(self) -> list[Row]:
        routers: list[Row] = self._api.get_all_logical_routers_with_rports()
        ours = {
            (nat.type, nat.external_ip, nat.logical_ip)
            for router in self._api.tables["Logical_Router"].rows.values()
            for nat in router.nat
            if EXITS_MARK in nat.external_ids
        }
        for router in routers:
            for kind in ("snats", "dnat_and_snats"):
                router[kind] = [
                    nat
                    for nat in router[kind]
                    if (nat["type"], nat["external_ip"], nat["logical_ip"]) not in ours
                ]
        return routers

    def get_all_logical_switches_with_ports(self) -> list[Row]:
        """List Neutron's networks with the names of what is on each."""
        if self._seen is not None:
            return self._seen.switches
        found: list[Row] = self._api.get_all_logical_switches_with_ports()
        return found

    def get_all_dhcp_options(self) -> Row:
        """Return the DHCP options of subnets and of ports."""
        if self._seen is not None:
            return self._seen.dhcp_options
        found: Row = self._api.get_all_dhcp_options()
        return found

    def get_all_logical_routers_with_rports(self) -> list[Row]:
        """List Neutron's routers with what hangs on each."""
        return self._list_routers() if self._seen is None else self._seen.routers

    def get_router_floatingip_lbs(self, lrouter_name: str) -> list[Any]:
        """List what forwards ports of floating IPs of a router."""
        if self._seen is not None:
            return self._seen.forwardings.get(lrouter_name, [])
        found: list[Any] = self._api.get_router_floatingip_lbs(lrouter_name)
        return found

    def db_list_rows(self, table: str, *records: Any, **options: Any) -> Any:
        """Return a command that lists rows."""
        if self._seen is not None and table == "Port_Group":
            return _Answer(self._seen.groups)
        return self._api.db_list_rows(table, *records, **options)

    def ls_del(self, switch: str) -> Any:
        """Return a command that deletes a switch that may be gone."""
        return self._api.ls_del(switch, if_exists=True)

    def pg_del(self, name: str) -> Any:
        """Return a command that deletes a port group that may be gone."""
        return self._api.pg_del(name, if_exists=True)

    def pg_acl_del(self, port_group: str, *rule: Any) -> Any:
        """Return a command that deletes a rule of a port group; both may be gone."""
        return self._api.pg_acl_del(port_group, *rule, if_exists=True)

    def acl_del(self, switch: str) -> Any:
        """Return a command that deletes all rules of a switch that may be gone."""
        return self._api.acl_del(switch, if_exists=True)

    def delete_lrouter_port(self, name: str, lrouter: str, **_options: Any) -> Any:
        """Return a command that deletes an interface of a router that may be gone."""
        return self._api.delete_lrouter_port(name, lrouter, if_exists=True)

    def add_static_route(self, lrouter: str, **columns: Any) -> Any:
        """Return a command that adds a route, if the router has none like it by now."""
        if self._has(lrouter, "static_routes", columns, "ip_prefix", "nexthop"):
            return self._api.delete_static_routes(lrouter, [])  # nothing
        return self._api.add_static_route(lrouter, **columns)

    def add_nat_rule_in_lrouter(self, lrouter: str, **columns: Any) -> Any:
        """Return a command that adds a translation, if the router has none like it by now."""
        if self._has(lrouter, "nat", columns, "type", "external_ip", "logical_ip"):
            return self._api.delete_static_routes(lrouter, [])  # nothing
        return self._api.add_nat_rule_in_lrouter(lrouter, **columns)

    def _has(self, lrouter: str, part: str, columns: Row, *names: str) -> bool:
        router = self._api.lookup("Logical_Router", lrouter, default=None)
        return router is not None and any(
            all(getattr(one, name) == columns[name] for name in names)
            for one in getattr(router, part)
        )


class OwnHosts:
    """The southbound database as Neutron's comparison may see it: the site's own hypervisors."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def get_chassis_hostname_and_physnets(self) -> dict[str, Any]:
        """Return the physical networks of each hypervisor, by its name."""
        remote = {
            row.hostname
            for row in self._api.tables["Chassis"].rows.values()
            if row.other_config.get(REMOTE_FLAG) == "true"
        }
        found: dict[str, Any] = self._api.get_chassis_hostname_and_physnets()
        return {name: nets for name, nets in found.items() if name not in remote}
