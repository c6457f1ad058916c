"""What is read of a hypervisor beside ports and tunnels: counters, logs, bridges, certificates.

What agents of ML2/OVS have there (namespaces of routers, flows of their bridges) is read where
their bridges are.
"""

import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from isthmus import errors
from isthmus.diagnose.collect.console import list_consoles
from isthmus.diagnose.collect.protocols import Hypervisor, Kept
from isthmus.diagnose.collect.tasks import Task
from isthmus.diagnose.evaluate.certificate import read_end
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select

#: Sentences of logs that settle a cause, by daemon.
_SAID: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "ovn-controller": {"rbac": re.compile(r"permission error")},
    "neutron-ovn-metadata-agent": {
        "nova": re.compile(
            r"emote metadata server (?:responded with Forbidden|experienced an internal server)"
        ),
    },
    "keepalived": {"reload": re.compile(r"(?i)\breloading\b|got SIGHUP|reload config")},
}  # fmt: skip
#: How old a sentence may be.
_HOUR = datetime.timedelta(hours=1)
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_LOOKUPS = re.compile(r"lookups:.*?missed:(\d+).*?lost:(\d+)")
_SNMP = "/proc/net/snmp"
_MARK = re.compile(r"\bmark=(0x[0-9a-f]+|\d+)")
_ENTRY = re.compile(r"^(\w+),orig=\(src=([^,]+),dst=([^,)]+)(?:,sport=\d+,dport=(\d+))?")
_OUTPUT = re.compile(r"\boutput:(\d+)")
#: Beginnings of names that ML2/OVS gives to its patches and to namespaces of routers.
_TO_PHYSICAL, _ROUTER, _TUNNELS = "phy-", "qrouter-", "br-tun"
_MOST_ROUTERS, _MOST_ENTRIES, _MOST_ZONES = 50, 100, 64
#: Ends of names of zones that are no port's.
_OF_ROUTERS = ("_snat", "_dnat")
#: Tables that are made here: a dump has them as they are.
MADE = (
    "bridge", "counter", "log", "certificate", "neighbour", "bridge_flow", "tracked", "console",
)  # fmt: skip


def tasks(
    host: str, found: Hypervisor, *, own: Sequence[str] | None, towards: Sequence[str]
) -> Iterator[Task]:
    """Return what to read of a hypervisor.

    Args:
        host: its name.
        found: the way in.
        own: ports that live there; None: all.
        towards: MAC addresses of the other ends.
    """

    def task(what: str, table: str, read: Callable[[], list[Row]]) -> Task:
        rows = partial(found.get_made, table) if isinstance(found, Kept) else read
        return Task(Source.HOST, host, what, lambda: {table: rows()}, lane=1)

    yield task("bridges", "bridge", lambda: [*_bridges(found)])
    yield task("counters", "counter", lambda: [*_counters(found)])
    yield task("logs", "log", lambda: [*_logs(found)])
    yield task("certificates", "certificate", lambda: [*_certificates(found)])
    yield task("neighbours of routers", "neighbour", lambda: [*_neighbours(found)])
    yield task("flows of bridges", "bridge_flow", lambda: [*_bridge_flows(found, towards)])
    yield task("marked connections", "tracked", lambda: [*_tracked(found, own)])
    yield task("consoles of guests", "console", lambda: [*list_consoles(found, own)])


def _bridges(found: Hypervisor) -> Iterator[Row]:
    """Yield bridges with their interfaces, and the zones that connections of ports have."""
    bridges, ports, interfaces = found.select(
        [
            Select("Bridge", columns=("name", "ports", "external_ids")),
            Select("Port", columns=("_uuid", "interfaces")),
            Select("Interface", columns=("_uuid", "name", "ofport")),
        ]
    )
    by_port = {str(row["_uuid"]): _list(row["interfaces"]) for row in ports}
    by_uuid = {str(row["_uuid"]): row for row in interfaces}
    for row in bridges:
        held = [
            by_uuid[one] for port in _list(row["ports"]) for one in by_port.get(port, ())
            if one in by_uuid
        ]  # fmt: skip
        yield {
            "name": row["name"],
            "interfaces": [str(one["name"]) for one in held],
            "ofports": [int(one["ofport"]) for one in held if isinstance(one["ofport"], int)],
            "zones": {
                key.removeprefix("ct-zone-"): str(value)
                for key, value in (row.get("external_ids") or {}).items()
                if key.startswith("ct-zone-")
            },
        }


def _list(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _counters(found: Hypervisor) -> Iterator[Row]:
    said = _LOOKUPS.search(" ".join(found.ask_daemon("ovs-vswitchd", "dpctl/show").split()))
    if said is not None:
        yield {"name": "upcalls-missed", "value": int(said[1])}
        yield {"name": "upcalls-lost", "value": int(said[2])}
    lines = [line.split() for line in found.read_file(_SNMP).splitlines()]
    heads = [line for line in lines if line[:1] == ["Udp:"]]
    if len(heads) == 2:
        counts = dict(zip(*heads, strict=False))
        for name, key in (("datagrams", "InDatagrams"), ("checksum-errors", "InCsumErrors")):
            if str(counts.get(key, "")).isdecimal():
                yield {"name": name, "value": int(counts[key])}


def _logs(found: Hypervisor) -> Iterator[Row]:
    """Count sentences of the last hour; a daemon without a log says none."""
    now = datetime.datetime.now(datetime.UTC)
    for daemon, patterns in _SAID.items():
        try:
            lines = found.read_log(daemon)
        except errors.NotFound:
            continue
        for what, pattern in patterns.items():
            said = [one for one in lines if pattern.search(one) and _is_recent(one, now)]
            last = said[-1].strip() if said else ""
            yield {"daemon": daemon, "what": what, "count": len(said), "last": last}


def _is_recent(line: str, now: datetime.datetime) -> bool:
    told = _ISO.search(line)
    if told is None:
        return True
    when = datetime.datetime.fromisoformat(told[0].replace(" ", "T"))
    return abs(now - when.replace(tzinfo=datetime.UTC)) <= _HOUR


def _certificates(found: Hypervisor) -> Iterator[Row]:
    (rows,) = found.select([Select("SSL", columns=("certificate", "ca_cert"))])
    now = datetime.datetime.now(datetime.UTC)
    for path in sorted({str(row[key]) for row in rows for key in ("certificate", "ca_cert")}):
        end = read_end(found.read_file(path)) if path.startswith("/") else None
        if end is not None:
            yield {"path": path, "not_after": end.isoformat(), "days": (end - now).days}


def _neighbours(found: Hypervisor) -> Iterator[Row]:
    """Yield what is written into the neighbour tables of routers that live in namespaces."""
    said = json.loads(found.run_ip("netns", "list") or "[]")
    names = [str(one.get("name")) for one in said if str(one.get("name")).startswith(_ROUTER)]
    for name in names[:_MOST_ROUTERS]:
        rows = json.loads(found.run_ip("-n", name, "neigh", "show", "nud", "permanent") or "[]")
        for row in rows:
            if row.get("lladdr"):
                yield {"router_id": name.removeprefix(_ROUTER), "ip": str(row.get("dst")),
                       "mac": str(row["lladdr"]).lower()}  # fmt: skip


def _bridge_flows(found: Hypervisor, towards: Sequence[str]) -> Iterator[Row]:
    """Yield how flows of ML2/OVS' bridges look: of physical ones, and towards MAC addresses."""
    bridges = [*_bridges(found)]
    patched = [
        str(row["name"]) for row in bridges
        if any(one.startswith(_TO_PHYSICAL) for one in row["interfaces"])
    ]  # fmt: skip
    for name in patched:
        flows = found.list_flows("", name)
        plain = [one for one in flows if one.endswith("actions=NORMAL")]
        yield {"bridge": name, "mac": "", "count": len(flows) - len(plain), "outputs": []}
    names = {str(row["name"]) for row in bridges}
    for name in sorted({"br-int", _TUNNELS} & names) if patched or _TUNNELS in names else ():
        for mac in towards:
            flows = found.list_flows(f"dl_dst={mac}", name)
            outputs = sorted({int(one) for flow in flows for one in _OUTPUT.findall(flow)})
            yield {"bridge": name, "mac": mac, "count": len(flows), "outputs": outputs}


def _tracked(found: Hypervisor, own: Sequence[str] | None) -> Iterator[Row]:
    """Yield connections of ports that are marked: packets of these are dropped."""
    zones = {key: zone for row in _bridges(found) for key, zone in row["zones"].items()}
    ports = [one for one in zones if not one.endswith(_OF_ROUTERS)][:_MOST_ZONES]
    for port in ports if own is None else own:
        if port not in zones:
            continue
        said = found.ask_daemon("ovs-vswitchd", "dpctl/dump-conntrack", f"zone={zones[port]}")
        for line in [x for x in said.splitlines() if _is_marked(x)][:_MOST_ENTRIES]:
            entry = _ENTRY.search(line)
            if entry is not None:
                yield {"port": port, "protocol": entry[1], "source": entry[2], "target": entry[3],
                       "target_port": int(entry[4]) if entry[4] else None}  # fmt: skip


def _is_marked(line: str) -> bool:
    found = _MARK.search(line)
    return found is not None and bool(int(found[1], 0) & 1)
