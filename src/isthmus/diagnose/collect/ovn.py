"""What is read of a site's OVN databases: the rows of two ports, and those that these name."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from isthmus.diagnose.collect.protocols import Database
from isthmus.diagnose.collect.tasks import Task
from isthmus.diagnose.evaluate.match import address_sets_of
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select, one_of, uuid
from isthmus.model.dataplane.ovn import SWITCH_PREFIX

_SWITCH = ("_uuid", "name", "acls", "other_config", "dns_records")
_PORT = (
    "_uuid", "name", "type", "enabled", "options", "addresses", "port_security", "dhcpv4_options",
    "up", "external_ids", "parent_name", "tag",
)  # fmt: skip
_ACL = ("_uuid", "direction", "priority", "action", "match", "external_ids")
_BINDING = (
    "_uuid", "logical_port", "type", "tunnel_key", "chassis", "datapath", "up", "options",
)  # fmt: skip
_CHASSIS = ("_uuid", "name", "hostname", "other_config", "external_ids")
_PRIVATE = ("name", "nb_cfg", "nb_cfg_timestamp", "chassis", "external_ids")
_ENCAP = ("_uuid", "chassis_name", "ip", "type")
_LOCALNET = ("_uuid", "name", "tag", "options")
_LEARNED = ("_uuid", "mac", "dp_key", "port_key")
_MONITOR = ("_uuid", "logical_port", "ip", "protocol", "port", "status")


def tasks(site: str, nb: Database, sb: Database, ports: Sequence[Row]) -> Iterator[Task]:
    """Return what to read of a site's OVN.

    Args:
        site: name of the site.
        nb: its northbound database.
        sb: its southbound database.
        ports: the ends that are ports, as Neutron has them.
    """
    yield Task(Source.NB, site, "rows", lambda: _northbound(nb, ports))
    yield Task(Source.SB, site, "rows", lambda: _southbound(sb, ports))
    # Those of port groups stand southbound only, and ACLs northbound name them.
    yield Task(
        Source.SB, site, "address sets",
        lambda: {"Address_Set": _address_sets(sb, _northbound(nb, ports)["ACL"])},
    )  # fmt: skip
    for source, database in ((Source.NB, nb), (Source.SB, sb)):
        yield Task(source, site, "state of the server", partial(_server, database), lane=2)
    yield Task(Source.NB, site, "DHCP options", lambda: {"DHCP_Options": _dhcp(nb, ports)}, lane=1)
    yield Task(Source.NB, site, "fabrics", lambda: {"segment": _segments(nb)}, lane=1)
    yield Task(
        Source.SB, site, "learned addresses",
        lambda: {"FDB": [*ask_by(sb, "FDB", "mac", (p.get("mac_address") for p in ports),
                                 _LEARNED)]},
        lane=1,
    )  # fmt: skip
    yield Task(
        Source.SB, site, "ports of other sites",
        lambda: {"remote_count": [*_count_remote(sb, ports)]}, lane=2,
    )  # fmt: skip
    yield Task(
        Source.SB, site, "members of load balancers",
        lambda: {"Service_Monitor": [*ask_by(sb, "Service_Monitor", "logical_port",
                                             (p["id"] for p in ports), _MONITOR)]},
        lane=1,
    )  # fmt: skip


def _northbound(nb: Database, ports: Sequence[Row]) -> dict[str, list[Row]]:
    switches = sorted({SWITCH_PREFIX + str(port["network_id"]) for port in ports})
    first = [
        Select("NB_Global", columns=("nb_cfg", "sb_cfg", "hv_cfg", "nb_cfg_timestamp")),
        *(Select("Logical_Switch", (("name", "==", one),), _SWITCH) for one in switches),
        *(Select("Logical_Switch_Port", (("name", "==", one["id"]),), _PORT) for one in ports),
    ]
    globals_, *rest = nb.select(first)
    found_switches = [widen(row, "acls") for row in flatten(rest[: len(switches)])]
    lsps = [widen(row, "addresses", "port_security") for row in flatten(rest[len(switches) :])]
    asked = ask(nb, (_groups_of(str(row["_uuid"])) for row in lsps))
    groups = [widen(row, "ports", "acls") for row in _distinct(flatten(asked))]
    acls = sorted({one for row in (*groups, *found_switches) for one in row.get("acls") or ()})
    rows = flatten(ask(nb, (Select("ACL", (("_uuid", "==", uuid(x)),), _ACL) for x in acls)))
    return {
        "NB_Global": globals_,
        "Logical_Switch": found_switches,
        "Logical_Switch_Port": lsps,
        "Port_Group": groups,
        "ACL": rows,
        "Address_Set": _address_sets(nb, rows),
    }


def _southbound(sb: Database, ports: Sequence[Row]) -> dict[str, list[Row]]:
    selects = [
        Select("SB_Global", columns=("nb_cfg", "options")),
        Select("Chassis", columns=_CHASSIS),
        Select("Encap", columns=_ENCAP),
        Select("Chassis_Private", columns=_PRIVATE),
        *(Select("Port_Binding", (("logical_port", "==", p["id"]),), _BINDING) for p in ports),
    ]
    globals_, chassis, encaps, private, *rest = sb.select(selects)
    bindings = flatten(rest)
    paths = sorted({str(row["datapath"]) for row in bindings})
    columns = ("_uuid", "tunnel_key")
    datapaths = flatten(
        ask(sb, (Select("Datapath_Binding", (("_uuid", "==", uuid(x)),), columns) for x in paths))
    )
    return {
        "SB_Global": globals_,
        "Chassis": chassis,
        "Encap": encaps,
        "Chassis_Private": private,
        "Port_Binding": bindings,
        "Datapath_Binding": datapaths,
    }


def _server(database: Database) -> dict[str, list[Row]]:
    return {"server": [database.read_server()]}


def ask_by(
    database: Database, table: str, column: str, values: Iterable[object], columns: tuple[str, ...]
) -> Iterator[Row]:
    """Yield the rows that have one of some values in a column.

    Args:
        database: to ask.
        table: of it.
        column: that is compared.
        values: of which a row has one.
        columns: to read.
    """
    wanted = sorted({str(one) for one in values})
    selects = (Select(table, ((column, "==", one),), columns) for one in wanted)
    yield from flatten(ask(database, selects))


def _count_remote(sb: Database, ports: Sequence[Row]) -> Iterator[Row]:
    """Count the ports of other sites that OVN has on each network of the ends."""
    bound = ask_by(sb, "Port_Binding", "logical_port", (one["id"] for one in ports), ("datapath",))
    for path in sorted({str(one["datapath"]) for one in bound}):
        where = (("datapath", "==", uuid(path)), ("type", "==", "remote"))
        (rows,) = sb.select([Select("Port_Binding", where, ("_uuid",))])
        yield {"datapath": path, "count": len(rows)}


def _dhcp(nb: Database, ports: Sequence[Row]) -> list[Row]:
    """Read the options that the ports' DHCP answers have."""
    columns = ("name", "dhcpv4_options")
    rows = [*ask_by(nb, "Logical_Switch_Port", "name", (one["id"] for one in ports), columns)]
    named = {str(one) for row in rows for one in widen(row, "dhcpv4_options")["dhcpv4_options"]}
    selects = (
        Select("DHCP_Options", (("_uuid", "==", uuid(x)),), ("_uuid", "cidr", "options"))
        for x in sorted(named)
    )
    return flatten(ask(nb, selects))


def _segments(nb: Database) -> list[Row]:
    """Read which switches are on which physical network, and with which VLAN."""
    (ports,) = nb.select([Select("Logical_Switch_Port", (("type", "==", "localnet"),), _LOCALNET)])
    selects = (
        Select("Logical_Switch", (("ports", "includes", one_of(uuid(str(one["_uuid"])))),),
               ("name",)) for one in ports
    )  # fmt: skip
    switches = ask(nb, selects)
    return [
        {"switch": row["name"], "name": one["name"], "tag": widen(one, "tag")["tag"],
         "options": one.get("options")}
        for one, rows in zip(ports, switches, strict=True) for row in rows
    ]  # fmt: skip


def _address_sets(database: Database, acls: Iterable[Row]) -> list[Row]:
    names = sorted({name for acl in acls for name in address_sets_of(str(acl["match"]))})
    columns = ("name", "addresses")
    selects = (Select("Address_Set", (("name", "==", one),), columns) for one in names)
    rows = flatten(ask(database, selects))
    return [widen(row, "addresses") for row in rows]


def _groups_of(port: str) -> Select:
    where = (("ports", "includes", one_of(uuid(port))),)
    return Select("Port_Group", where, ("name", "ports", "acls"))


def ask(database: Database, selects: Iterable[Select]) -> list[list[Row]]:
    """Return the rows of each select; nothing is asked where there is none."""
    asked = list(selects)
    return database.select(asked) if asked else []


def flatten(rows: Iterable[Iterable[Row]]) -> list[Row]:
    """Return the rows of all selects in one list."""
    return [row for some in rows for row in some]


def _distinct(rows: Iterable[Row]) -> list[Row]:
    return list({str(row["name"]): row for row in rows}.values())


def widen(row: Row, *columns: str) -> Row:
    """Return a row with sets as lists: OVSDB has a bare value for a set of one."""
    return {
        **row,
        **{one: row[one] if isinstance(row[one], list) else [row[one]] for one in columns},
    }
