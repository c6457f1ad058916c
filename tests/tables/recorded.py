"""A dump of the healthy world of two sites, and what is asked of it."""

import copy
import io
import random
from typing import Any

from tests.tables.world import DATAPATH, KEYS, A, B, Tables, healthy

from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.dump.form import Dump, parse_dump, write_dump
from isthmus.diagnose.dump.recorded import Recorded, reading
from isthmus.diagnose.judge import Diagnosis, judge
from isthmus.diagnose.question import parse_service
from isthmus.diagnose.world import Source

CENTRAL = (Source.CENTRAL, "central")
AT = "2026-01-01T00:00:00Z"
#: Tables that a world has beside those that a source has: they are made when it is read.
_MADE = frozenset({"twin", "metadata_port", "dhcp_port", "segment", "remote_count"})


def make_dump(tables: Tables | None = None) -> Dump:
    """Return the dump of a world; the healthy one if none is given."""
    told = copy.deepcopy(tables or healthy())
    told[CENTRAL] |= {
        "site_mapping": [
            {"id": f"m-{one}", "type": "port", "resource_id": one, "site": site, "withdrawn": False}
            for one, site in ((A, "s1"), (B, "s2"))
        ],
        "router": [], "floatingip": [], "router_exit": [],
    }  # fmt: skip
    for site in told[CENTRAL]["site"]:
        site |= {"id": site["name"], "region": site["name"]}
    _complete(told)
    dump = Dump(at=AT, made_by="1.0")
    for (source, place), found in told.items():
        for table, rows in found.items():
            if table not in _MADE:
                dump.add(source, place, table, rows)
    dump.add(*CENTRAL, "server", [{"name": "web", "port_id": A}])
    return dump


def _complete(told: Tables) -> None:
    """Add what a source has, and a world may do without."""
    for (source, _), found in told.items():
        if source is Source.NEUTRON:
            owner = {"device_owner": "network:distributed", "binding:host_id": ""}
            found["port"] += [{**row, **owner} for row in found["metadata_port"]]
    more = {"network": {"name": "net1"}, "subnet": {"cidr": "10.0.0.0/24"},
            "port": {"project_id": "p"}, "security_group": {"project_id": "p"}}  # fmt: skip
    for (source, _), found in told.items():
        for table, columns in more.items() if source in (Source.CENTRAL, Source.NEUTRON) else ():
            found[table] = [{**columns, **row} for row in found[table]]
        for interface in found.get("Interface", ()):
            interface["external_ids"] = {"iface-id": interface["iface_id"]}
        for flow in found.get("flow", ()):
            flow["match"] = f"metadata={DATAPATH:#x},reg15={KEYS[flow['to']]:#x}"


def pack(dump: Dump) -> bytes:
    """Return a dump as the bytes of its file."""
    into = io.BytesIO()
    write_dump(dump, into)
    return into.getvalue()


def ask_file(packed: bytes, source: str = A, target: str = B, what: str = "tcp/443") -> Diagnosis:
    """Ask a dump's file why one does not reach the other."""
    service = parse_service(what)
    with reading("the.dump"):
        ways = Recorded(parse_dump("the.dump", io.BytesIO(packed)))
        scene = collect_scene(ways, source, target, timeout_s=60, now=ways.now, service=service)
        return judge(scene.world, scene.source, scene.target, service, scene.family)


def spoil(value: Any, dice: random.Random) -> Any:
    """Return a JSON value with one thing in it that no Isthmus writes."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(sorted(value))
        changed = dict(value)
        if dice.random() < 0.15:
            del changed[key]
        else:
            changed[key] = spoil(value[key], dice)
        return changed
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], spoil(value[at], dice), *value[at + 1 :]]
    odd: tuple[Any, ...]
    odd = (None, True, -1, 1 << 70, 1.5, "", "x\x1b[2J", "$(reboot)", [], {}, [[]], {"a": {}},
           "9" * 5000, "../../etc/passwd", ["set", [["uuid", "x"]]])  # fmt: skip
    return dice.choice(odd)
