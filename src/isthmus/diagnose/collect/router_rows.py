"""What is read of a site's OVN about some routers: their rows, and those that these name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from isthmus.diagnose.collect.ovn import ask, ask_by, flatten, widen
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
    "ipv6_ra_configs",
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
_LEARNED = ("_uuid", "logical_port", "ip", "mac")
_SESSION = ("_uuid", "logical_port", "dst_ip", "status")
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
    names = [f"lrp-{one}" for one in wanted.ports]
    yield Task(
        Source.SB, site, "sessions of BFD",
        lambda: {"BFD": [*ask_by(sb, "BFD", "logical_port", names, _SESSION)]}, lane=1,
    )  # fmt: skip


class _Reads:
    """Selects that are asked for in one transaction, and their rows by what they are for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._selects: list[tuple[str, Select]] = []

    def name(self, what: str, table: str, names: Iterable[str], columns: tuple[str, ...]) -> None:
        """Want rows by their names."""
        for one in names:
            self._selects.append((what, Select(table, (("name", "==", one),), columns)))

    def row(self, what: str, table: str, uuids: Iterable[str], columns: tuple[str, ...]) -> None:
        """Want rows by their UUIDs."""
        for one in uuids:
            self._selects.append((what, Select(table, (("_uuid", "==", uuid(one)),), columns)))

    def ask(self) -> dict[str, list[Row]]:
        """Read them."""
        found: dict[str, list[Row]] = {}
        answers = ask(self._database, (select for _, select in self._selects))
        for (what, _), rows in zip(self._selects, answers, strict=True):
            found.setdefault(what, []).extend(rows)
        return found


def _northbound(nb: Database, wanted: Wanted) -> dict[str, list[Row]]:
    transit = [TRANSIT_PREFIX + one for one in wanted.routers]
    first = _Reads(nb)
    first.name("lr", "Logical_Router", [ROUTER_PREFIX + one for one in wanted.routers], _ROUTER)
    plugs = [*wanted.ports, *(f"{one}-lsp" for one in transit), *wanted.peers]
    first.name("lsp", "Logical_Switch_Port", plugs, _LSP)
    first.name("transit", "Logical_Switch", transit, ("_uuid", "name", "other_config"))
    outside = [SWITCH_PREFIX + one for one in wanted.externals]
    first.name("outside", "Logical_Switch", outside, ("name", "ports"))
    named = first.ask()
    columns = ("ports", "nat", "static_routes", "policies", "load_balancer")
    routers = [widen(row, *columns) for row in named.get("lr", ())]
    switches = [widen(row, "ports") for row in named.get("outside", ())]
    second = _Reads(nb)
    second.row("lrp", "Logical_Router_Port", _of(routers, "ports"), _ROUTER_PORT)
    for column, table, wants in _HANGING:
        second.row(table, table, _of(routers, column), wants)
    second.row("outside", "Logical_Switch_Port", _of(switches, "ports"), _LSP)
    hanging = second.ask()
    ports = [widen(row, "networks", "gateway_chassis") for row in hanging.get("lrp", ())]
    return {
        "Logical_Router": routers,
        "Logical_Router_Port": ports,
        **{table: hanging.get(table, []) for _, table, _ in _HANGING},
        "gateway_host": _scheduled(nb, ports),
        "router_lsp": named.get("lsp", []),
        "transit_switch": named.get("transit", []),
        "external_port": [*_external(switches, hanging.get("outside", []))],
    }


def _of(rows: Iterable[Row], column: str) -> list[str]:
    return sorted({str(one) for row in rows for one in row[column]})


def _scheduled(nb: Database, ports: Sequence[Row]) -> list[Row]:
    """List the hypervisors that gateways are scheduled to, by router port and priority."""
    named = {str(port["name"]): widen(port, "ha_chassis_group") for port in ports}
    first = _Reads(nb)
    for name, port in named.items():
        columns = ("name", "chassis_name", "priority")
        first.row(name, "HA_Chassis_Group", port["ha_chassis_group"], ("ha_chassis",))
        first.row(f"{name}/", "Gateway_Chassis", port["gateway_chassis"], columns)
    found = first.ask()
    second = _Reads(nb)
    for name in named:
        groups = [widen(one, "ha_chassis") for one in found.get(name, ())]
        second.row(name, "HA_Chassis", _of(groups, "ha_chassis"), ("chassis_name", "priority"))
    members = second.ask()
    return [
        {**one, "port": name}
        for name in named
        for one in (*members.get(name, ()), *found.get(f"{name}/", ()))
    ]


def _external(switches: Iterable[Row], ports: Iterable[Row]) -> Iterator[Row]:
    """Yield external switches, and the ports by which they are on their fabric."""
    by_uuid = {str(one["_uuid"]): one for one in ports}
    for switch in switches:
        network_id = str(switch["name"]).removeprefix(SWITCH_PREFIX)
        yield {"network_id": network_id, "type": "switch"}
        for one in switch["ports"]:
            if by_uuid.get(str(one), {}).get("type") == "localnet":
                yield {**by_uuid[str(one)], "network_id": network_id}


def _southbound(sb: Database, wanted: Wanted) -> dict[str, list[Row]]:
    names = [f"cr-lrp-{one}" for one in wanted.ports]
    names += [f"lrp-{one}" for one in wanted.ports]
    names += [TRANSIT_PREFIX + one + "-lsp" for one in wanted.routers] + [*wanted.peers]
    selects = [Select("Port_Binding", (("logical_port", "==", one),), _BINDING) for one in names]
    learned = [
        Select("MAC_Binding", (("logical_port", "==", f"lrp-{one}"),), _LEARNED)
        for one in wanted.ports
    ]
    rows = flatten(ask(sb, [*selects, *learned]))
    return {
        "router_binding": [one for one in rows if "type" in one],
        "MAC_Binding": [one for one in rows if "mac" in one],
    }
