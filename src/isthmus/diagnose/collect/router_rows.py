"""What is read of a site's OVN about some routers: their rows, and those that these name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from isthmus.diagnose.collect.ovn import ask, flatten, widen
from isthmus.diagnose.collect.protocols import Database
from isthmus.diagnose.collect.tasks import Task
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select, uuid
from isthmus.model.dataplane.ovn import ROUTER_PREFIX, SWITCH_PREFIX, TRANSIT_PREFIX

_ROUTER = (
    "_uuid", "name", "enabled", "ports", "nat", "static_routes", "policies", "load_balancer",
)  # fmt: skip
_ROUTER_PORT = (
    "_uuid", "name", "mac", "networks", "enabled", "gateway_chassis", "ha_chassis_group", "options",
)  # fmt: skip
_LSP = ("_uuid", "name", "type", "options", "addresses", "enabled", "external_ids")
#: Of rows that hang on a router: the column that names them, their table, their columns.
_HANGING = (
    ("static_routes", "Logical_Router_Static_Route", ("_uuid", "ip_prefix", "nexthop", "policy",
                                                      "external_ids")),
    ("nat", "NAT", ("_uuid", "type", "external_ip", "logical_ip", "external_mac", "logical_port",
                    "external_ids")),
    ("policies", "Logical_Router_Policy", ("_uuid", "priority", "match", "action", "nexthops",
                                           "external_ids")),
    ("load_balancer", "Load_Balancer", ("_uuid", "name", "protocol", "vips", "external_ids")),
)  # fmt: skip
_BINDING = ("_uuid", "logical_port", "type", "tunnel_key", "chassis", "datapath", "up", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to read about routers at a site."""

    routers: Sequence[str]  #: ids
    ports: Sequence[str]  #: ids of their ports, gateways among them
    externals: Sequence[str]  #: ids of external networks
    peers: Sequence[str]  #: names of ports of other sites' instances on transit networks


def tasks(site: str, nb: Database, sb: Database, wanted: Wanted) -> Iterator[Task]:
    """Return what to read of a site's OVN about routers.

    Args:
        site: name of the site.
        nb: its northbound database.
        sb: its southbound database.
        wanted: of which routers.
    """
    yield Task(Source.NB, site, "routers", lambda: _northbound(nb, wanted))
    yield Task(Source.SB, site, "bindings of routers", lambda: _southbound(sb, wanted))


def _named(table: str, names: Iterable[str], columns: tuple[str, ...]) -> list[Select]:
    return [Select(table, (("name", "==", one),), columns) for one in names]


def _rows(nb: Database, table: str, uuids: Iterable[str], columns: tuple[str, ...]) -> list[Row]:
    selects = (Select(table, (("_uuid", "==", uuid(one)),), columns) for one in uuids)
    return flatten(ask(nb, selects))


def _northbound(nb: Database, wanted: Wanted) -> dict[str, list[Row]]:
    columns = ("ports", "nat", "static_routes", "policies", "load_balancer")
    names = [ROUTER_PREFIX + one for one in wanted.routers]
    routers = [widen(row, *columns) for row in flatten(ask(nb, _named("Logical_Router", names,
                                                                       _ROUTER)))]  # fmt: skip
    found: dict[str, list[Row]] = {"Logical_Router": routers}
    ports = _rows(nb, "Logical_Router_Port", _of(routers, "ports"), _ROUTER_PORT)
    found["Logical_Router_Port"] = [widen(row, "networks", "gateway_chassis") for row in ports]
    for column, table, wants in _HANGING:
        found[table] = _rows(nb, table, _of(routers, column), wants)
    found["gateway_host"] = _scheduled(nb, found["Logical_Router_Port"])
    transit = [
        TRANSIT_PREFIX + one + end for one in wanted.routers for end in ("-lsp",)
    ] + [*wanted.peers]  # fmt: skip
    found["router_lsp"] = flatten(
        ask(nb, _named("Logical_Switch_Port", [*wanted.ports, *transit], _LSP))
    )
    switches = [TRANSIT_PREFIX + one for one in wanted.routers]
    found["transit_switch"] = flatten(
        ask(nb, _named("Logical_Switch", switches, ("_uuid", "name", "other_config")))
    )
    found["external_port"] = _external(nb, wanted.externals)
    return found


def _of(rows: Iterable[Row], column: str) -> list[str]:
    return sorted({str(one) for row in rows for one in row[column]})


def _scheduled(nb: Database, ports: Iterable[Row]) -> list[Row]:
    """List the hypervisors that gateways are scheduled to, by router port and priority."""
    found: list[Row] = []
    for port in ports:
        group = port["ha_chassis_group"]
        group = group if isinstance(group, str) else next(iter(group), None)
        members: list[Row] = []
        if group:
            columns = ("name", "ha_chassis")
            rows = _rows(nb, "HA_Chassis_Group", [group], columns)
            uuids = _of([widen(one, "ha_chassis") for one in rows], "ha_chassis")
            members = _rows(nb, "HA_Chassis", uuids, ("chassis_name", "priority"))
        members += _rows(
            nb, "Gateway_Chassis", port["gateway_chassis"], ("chassis_name", "priority")
        )
        found += [{**one, "port": port["name"]} for one in members]
    return found


def _external(nb: Database, networks: Iterable[str]) -> list[Row]:
    """List the ports by which external networks are on their fabric, with the network's id."""
    found: list[Row] = []
    for network_id in networks:
        names = [SWITCH_PREFIX + network_id]
        rows = flatten(ask(nb, _named("Logical_Switch", names, ("_uuid", "ports"))))
        uuids = _of([widen(one, "ports") for one in rows], "ports")
        ports = _rows(nb, "Logical_Switch_Port", uuids, _LSP)
        found += [{**one, "network_id": network_id} for one in ports if one["type"] == "localnet"]
        found += [{"network_id": network_id, "type": "switch"} for _ in rows]
    return found


def _southbound(sb: Database, wanted: Wanted) -> dict[str, list[Row]]:
    names = [f"cr-lrp-{one}" for one in wanted.ports]
    names += [f"lrp-{one}" for one in wanted.ports]
    names += [TRANSIT_PREFIX + one + "-lsp" for one in wanted.routers] + [*wanted.peers]
    selects = [Select("Port_Binding", (("logical_port", "==", one),), _BINDING) for one in names]
    return {"router_binding": flatten(ask(sb, selects))}
