"""What the verdict will be once a repair is done: its commands are carried out on rows. Pure.

A command that is understood changes the rows as the cloud would, and all checks run anew. Of one
that is not, it is taken that what it repairs is gone.
"""

import copy
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from isthmus import errors
from isthmus.diagnose.fix.command import Command, parse_commands
from isthmus.diagnose.judge import Blocker, Diagnosis, Word, judge
from isthmus.diagnose.question import End
from isthmus.diagnose.world import Row, Seen, Source, World
from isthmus.model.site import CENTRAL
from isthmus.model.verdict import Answer, Severity

#: What Neutron writes by itself once its own row is right: no cause that is left over.
_FOLLOWS = (
    "acl.", "lsp.", "group.rules_differ", "port.not_active", "binding.not_up", "dhcp.mtu",
)  # fmt: skip

Tables = dict[tuple[Source, str], dict[str, list[dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The verdict that a repair leads to."""

    word: Word
    left: tuple[Blocker, ...]  #: what is still found then
    by_rows: bool  #: whether the commands were carried out on rows; else the finding is taken away


def predict(found: Diagnosis, blocker: Blocker) -> Prediction:
    """Return the verdict with a finding repaired.

    Args:
        found: what is found now.
        blocker: the finding whose repair is to be done.
    """
    world = _carry_out(found.world, blocker.verdict.remedy)
    if world is not None:
        way = found.ways[0]
        one, other = _refresh(world, way.sender), _refresh(world, way.receiver)
        then = judge(world, one, other, found.service, way.packet.family)
        gone = _key(blocker) not in {_key(one) for one in then.blockers}
        if gone:
            known = {_key(one) for one in found.blockers}
            left = [one for one in then.blockers if _key(one) in known or not _follows(one)]
            return Prediction(_decide(left, then), tuple(left), True)
    left = [one for one in found.blockers if _key(one) != _key(blocker)]
    return Prediction(_decide(left, found), tuple(left), False)


def _refresh(world: World, end: End) -> End:
    """Return an end with its rows as they are then."""
    port: Row | None = None
    for source, place in ((Source.NEUTRON, end.site), (Source.CENTRAL, CENTRAL)):
        if port is None and world.has_table(source, place, "port"):
            port = world.find(source, place, "port", id=end.id)
    network = end.network
    if network is not None:
        network = world.find(Source.CENTRAL, CENTRAL, "network", id=end.network_id)
    return replace(end, port=port or end.port, network=network)


def _key(one: Blocker) -> tuple[str, object]:
    return one.verdict.code, one.verdict.subject


def _follows(one: Blocker) -> bool:
    return one.verdict.code.startswith(_FOLLOWS)


def _decide(left: Sequence[Blocker], found: Diagnosis) -> Word:
    severities = {one.verdict.severity for one in left}
    if Severity.BROKEN in severities:
        return Word.BLOCKED
    pairs = zip(found.report.rulings, found.vital, strict=True)
    not_seen = any(vital and one.answer is Answer.NOT_SEEN for one, vital in pairs)
    if not_seen or Severity.UNKNOWN in severities:
        return Word.UNDETERMINED
    return Word.DEGRADED if Severity.DEGRADED in severities else Word.REACHABLE


def _carry_out(world: World, repair: str) -> World | None:
    """Return the rows as a repair leaves them; None where it is not understood."""
    try:
        commands = parse_commands(repair)
    except errors.Unsupported:
        return None
    tables: Tables = {
        place: {name: [dict(copy.deepcopy(row)) for row in rows]
                for name, rows in seen.tables.items()}
        for place, seen in world.seen.items()
    }  # fmt: skip
    if not all(_apply(one, tables) for one in commands):
        return None
    seen = {place: Seen(rows, world.seen[place].at) for place, rows in tables.items()}
    return replace(world, seen=seen)


def _apply(command: Command, tables: Tables) -> bool:
    """Carry a command out; gives whether it was understood and met a row."""
    program, *words = command.words
    run = _PROGRAMS.get(program)
    return run is not None and run(words, command.place, tables)


def _rows(tables: Tables, source: Source, place: str, table: str) -> list[dict[str, Any]]:
    return tables.get((source, place), {}).get(table, [])


def _named(rows: Sequence[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        if name in (row.get("name"), row.get("_uuid"), row.get("id")):
            yield row


def _value(text: str) -> Any:
    bare = text.strip('"')
    return {"true": True, "false": False, "[]": []}.get(bare, bare)


def _set_columns(row: dict[str, Any], words: Sequence[str]) -> bool:
    for word in words:
        column, equals, value = word.partition("=")
        if not equals:
            return False
        name, colon, key = column.partition(":")
        if colon:
            row[name] = {**(row.get(name) or {}), key: value.strip('"')}
        elif isinstance(row.get(name), list) and _value(value) != []:
            row[name] = [_value(one) for one in value.split(",")]
        else:
            row[name] = _value(value)
    return bool(words)


def _ovn(source: Source) -> Callable[[list[str], str, Tables], bool]:
    def run(words: list[str], place: str, tables: Tables) -> bool:
        verb, *rest = words or [""]
        if verb == "set" and len(rest) >= 3:
            found = list(_named(_rows(tables, source, place, rest[0]), rest[1]))
            return bool(found) and all(_set_columns(row, rest[2:]) for row in found)
        if verb == "destroy" and len(rest) == 2:
            rows = _rows(tables, source, place, rest[0])
            gone = list(_named(rows, rest[1]))
            rows[:] = [row for row in rows if row not in gone]
            return bool(gone)
        if verb == "add" and rest[:1] == ["Port_Group"] and rest[2:3] == ["ports"]:
            found = list(_named(_rows(tables, source, place, "Port_Group"), rest[1]))
            for row in found:
                row["ports"] = [*row["ports"], *rest[3:]]
            return bool(found)
        change = _LSP.get(verb)
        found = list(_named(_rows(tables, source, place, "Logical_Switch_Port"), "".join(rest[:1])))
        if change is None or len(rest) != 2 or not found:
            return False
        for row in found:
            row.update(change(rest[1]))
        return True

    return run


_LSP: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "lsp-set-enabled": lambda word: {"enabled": [word == "enabled"]},
    "lsp-set-addresses": lambda word: {"addresses": [word]},
    "lsp-set-port-security": lambda word: {"port_security": [word]},
    "lsp-set-type": lambda word: {"type": word},
}


def _ip(words: list[str], place: str, tables: Tables) -> bool:
    if words[:2] != ["link", "set"] or len(words) < 4:
        return False
    change: dict[str, Any] = {}
    if words[3:] == ["up"]:
        change = {"link_state": "up", "admin_state": "up"}
    elif words[3] == "mtu" and len(words) == 5 and words[4].isdecimal():
        change = {"mtu": int(words[4])}
    found = list(_named(_rows(tables, Source.HOST, place, "Interface"), words[2]))
    for row in found:
        row.update(change)
    return bool(found) and bool(change)


def _vsctl(words: list[str], place: str, tables: Tables) -> bool:
    if words[:3] == ["set", "Open_vSwitch", "."]:
        rows = _rows(tables, Source.HOST, place, "Open_vSwitch")
        return bool(rows) and all(_set_columns(row, words[3:]) for row in rows)
    if words[:1] == ["del-port"] and len(words) == 2:
        rows = _rows(tables, Source.HOST, place, "Interface")
        gone = list(_named(rows, words[1]))
        rows[:] = [row for row in rows if row not in gone]
        return bool(gone)
    return False


def _appctl(words: list[str], place: str, tables: Tables) -> bool:
    rows = _rows(tables, Source.HOST, place, "conntrack")
    if words[:1] != ["dpctl/ct-set-maxconns"] or len(words) != 2 or not words[1].isdecimal():
        return False
    for row in rows:
        row["most"] = int(words[1])
    return bool(rows)


def _systemctl(words: list[str], place: str, tables: Tables) -> bool:
    found = list(_named(_rows(tables, Source.HOST, place, "daemon"), words[-1]))
    for row in found:
        row["state"] = "connected" if row["name"] == "ovn-controller" else "running"
    return bool(found) and words[0] in {"start", "restart"}


def _openstack(words: list[str], place: str, tables: Tables) -> bool:
    del place
    if words[:1] == ["--os-cloud"]:
        words = words[2:]
    if words[:4] == ["security", "group", "rule", "create"]:
        return _create_rule(words[4:], tables)
    if len(words) < 4 or words[1] != "set" or words[0] not in {"port", "network", "router"}:
        return False
    kind, options, name = words[0], words[2:-1], words[-1]
    if options == ["--enable"]:
        change: dict[str, Any] = {"admin_state_up": True}
    elif options[:1] == ["--mtu"] and len(options) == 2 and options[1].isdecimal():
        change = {"mtu": int(options[1])}
    else:
        return False
    return _everywhere(tables, (kind, *(("twin", "router_port") if kind == "port" else ())),
                       name, change)  # fmt: skip


def _everywhere(tables: Tables, kinds: Sequence[str], name: str, change: Mapping[str, Any]) -> bool:
    """Change a row at central and at the sites, and what OVN makes of its being up."""
    found = False
    for (source, _), of_place in tables.items():
        if source in (Source.CENTRAL, Source.NEUTRON):
            for kind in kinds:
                for row in _named(of_place.get(kind, []), name):
                    row.update(change)
                    found = True
        if source is Source.NB and "admin_state_up" in change:
            for table in ("Logical_Switch_Port", "Logical_Router", "Logical_Router_Port"):
                for wanted in (name, f"neutron-{name}", f"lrp-{name}"):
                    for row in _named(of_place.get(table, []), wanted):
                        row["enabled"] = [True]
    return found


def _create_rule(words: list[str], tables: Tables) -> bool:
    group, options = words[-1], words[:-1]
    rule: dict[str, Any] = {
        "id": "to-be-made", "security_group_id": group, "ethertype": "IPv4", "protocol": None,
        "port_range_min": None, "port_range_max": None, "remote_ip_prefix": None,
        "remote_group_id": None, "remote_address_group_id": None,
    }  # fmt: skip
    at = 0
    while at < len(options):
        name, value = options[at], options[at + 1] if at + 1 < len(options) else ""
        if name in {"--ingress", "--egress"}:
            rule["direction"], at = name[2:], at + 1
            continue
        if name == "--ethertype":
            rule["ethertype"] = value
        elif name == "--protocol":
            rule["protocol"] = value
        elif name == "--dst-port":
            rule |= {"port_range_min": int(value), "port_range_max": int(value)}
        elif name == "--remote-ip":
            rule["remote_ip_prefix"] = str(ipaddress.ip_network(value))
        else:
            return False
        at += 2
    found = False
    for (source, _), of_place in tables.items():
        if source in (Source.CENTRAL, Source.NEUTRON):
            for row in _named(of_place.get("security_group", []), group):
                row["security_group_rules"] = [*row["security_group_rules"], rule]
                found = True
    return found


_PROGRAMS: Mapping[str, Callable[[list[str], str, Tables], bool]] = {
    "ovn-nbctl": _ovn(Source.NB),
    "ovn-sbctl": _ovn(Source.SB),
    "ip": _ip,
    "ovs-vsctl": _vsctl,
    "ovs-appctl": _appctl,
    "systemctl": _systemctl,
    "openstack": _openstack,
}
