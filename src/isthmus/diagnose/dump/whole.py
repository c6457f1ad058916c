"""Collecting everything that `why` may ask for, of all sites, within one deadline."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from isthmus import errors
from isthmus.diagnose.collect import host as host_facts
from isthmus.diagnose.collect import machine
from isthmus.diagnose.collect.protocols import Api, Database, Hypervisor, WaysIn
from isthmus.diagnose.collect.tasks import Tables, Task, gather
from isthmus.diagnose.dump.allow import TABLES
from isthmus.diagnose.dump.form import Dump, Missing
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select
from isthmus.model.dataplane.ovn import REMOTE_FLAG
from isthmus.model.site import CENTRAL, SiteState

#: The part of the time that is left for hypervisors, which are known last.
_FOR_HOSTS = 0.4
#: Made of other rows, or of the lab.
_NO_LIST = frozenset({"server"})
#: Lists that Neutron has of one object alone: what lists these, and the filter that names them.
_OF_OTHERS = {"quota_detail": ("port", "project_id"), "router_agent": ("router", "router_id")}
#: Of how many they are read; each is a call.
_MOST_OF_OTHERS = 200
_REGISTER = re.compile(r"\breg15=(0x[0-9a-f]+)(?=[ ,])")
_METADATA = re.compile(r"\bmetadata=(0x[0-9a-f]+)(?=[ ,])")


def collect_dump(ways: WaysIn, *, timeout_s: float, at: str, made_by: str) -> Dump:
    """Read all that the person may see; nothing is written anywhere.

    Args:
        ways: to central, the sites, their OVN and hypervisors.
        timeout_s: for all of it, in seconds; what has not answered by then is missing.
        at: the time that the dump bears.
        made_by: version of Isthmus.

    Raises:
        IsthmusError: central does not answer.
    """
    deadline = time.monotonic() + timeout_s
    dump = Dump(at=at, made_by=made_by, lab=ways.lab)
    sites = ways.api.list("site")
    reading = _Reading(dump)
    reading.lists(ways.api, Source.CENTRAL, CENTRAL)
    for row in sites:
        _plan_site(reading, ways, row)
    reading.run(deadline - timeout_s * _FOR_HOSTS)
    rows = [{"name": name, "port_id": port_id} for name, port_id in ways.list_servers().items()]
    dump.add(Source.CENTRAL, CENTRAL, "server", rows)
    for host, tunnels in _list_hosts(dump).items():
        reading.host(ways, host, tunnels)
    reading.run(deadline)
    return dump


def _plan_site(reading: "_Reading", ways: WaysIn, site: Row) -> None:
    name = str(site["name"])
    if site.get("state") == SiteState.DISABLED:
        error = errors.Unsupported("an operator has disabled it")
        reading.miss(Source.NEUTRON, name, "", error)
    else:
        reading.lists(ways.open_site_api(name, str(site["region"])), Source.NEUTRON, name)
    for source, open_one in ((Source.NB, ways.open_northbound), (Source.SB, ways.open_southbound)):
        try:
            database = open_one(name)
        except errors.Refused as error:
            reading.miss(source, name, "", error)
        else:
            reading.database(database, source, name)


class _Reading:
    """What is to be read, and what became of it."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self._tasks: list[Task] = []

    def miss(self, source: Source, place: str, table: str, error: errors.IsthmusError) -> None:
        """Note what could not be read."""
        self._dump.missing.append(
            Missing(source=source, place=place, table=table, error=error.code, reason=error.message)
        )

    def lists(self, api: Api, source: Source, place: str) -> None:
        """Read all lists of a Neutron, one after the other."""
        for table in TABLES[source]:
            if table not in _NO_LIST:
                self._read(source, place, table, partial(_list, api, table))

    def database(self, database: Database, source: Source, place: str) -> None:
        """Read all tables of a database."""
        for table, columns in TABLES[source].items():
            if table == "server":
                self._read(source, place, table, partial(_server, database))
                continue
            select = Select(table, columns=tuple(columns))
            self._read(source, place, table, partial(_select, database, select))

    def host(self, ways: WaysIn, host: str, tunnels: Sequence[str]) -> None:
        """Read what is asked of a hypervisor."""
        try:
            found = ways.open_host(host)
        except errors.Refused as error:
            self.miss(Source.HOST, host, "", error)
            return
        tables = {
            "Open vSwitch": "Interface", "daemons": "daemon", "connections": "conntrack",
            "routes": "route",
        }  # fmt: skip
        for task in host_facts.tasks(host, found, tunnels=tunnels, towards=()):
            if task.what in tables:
                self._read(Source.HOST, host, tables[task.what], task.read)
        for task in machine.tasks(host, found, own=None, towards=()):
            tables_of = {"bridges": "bridge", "counters": "counter", "logs": "log",
                         "certificates": "certificate", "neighbours of routers": "neighbour",
                         "consoles of guests": "console",
                         "flows of bridges": "bridge_flow",
                         "marked connections": "tracked"}  # fmt: skip
            if task.what in tables_of:
                self._read(Source.HOST, host, tables_of[task.what], task.read)
        self._read(Source.HOST, host, "flow", lambda: {"flow": [*_count_flows(found)]})

    def _read(self, source: Source, place: str, table: str, read: Callable[[], Tables]) -> None:
        self._tasks.append(Task(source, place, table, read))

    def run(self, deadline: float) -> None:
        """Read what was planned since the last time."""
        failed: dict[tuple[Source, str, str], errors.IsthmusError] = {}

        def attempt(task: Task) -> Tables:
            try:
                return task.read()
            except errors.IsthmusError as error:
                failed[task.source, task.place, task.what] = error
                return {}

        tasks = [replace(one, read=partial(attempt, one)) for one in self._tasks]
        found = gather(tasks, deadline, str)
        for (source, place), seen in found.seen.items():
            for table, rows in seen.tables.items():
                self._dump.add(source, place, table, [*rows])
        for one in self._tasks:
            here = found.seen.get((one.source, one.place))
            error = failed.get((one.source, one.place, one.what))
            if error is None and (here is None or one.what not in here.tables):
                error = errors.TimedOut("no answer in time")
            if error is not None:
                self.miss(one.source, one.place, one.what, error)
        self._tasks.clear()


def _list(api: Api, table: str) -> Tables:
    if table in _OF_OTHERS:
        resource, column = _OF_OTHERS[table]
        rows = api.list(resource)
        key = "id" if resource == "router" else column
        wanted = sorted({str(row[key]) for row in rows if row.get(key)})
        return {table: api.list(table, **{column: wanted[:_MOST_OF_OTHERS]})}
    if table == "clock":
        return {table: [{"ahead_s": round(api.read_ahead_s())}]}
    return {table: api.list(table)}


def _server(database: Database) -> Tables:
    return {"server": [database.read_server()]}


def _select(database: Database, select: Select) -> Tables:
    return {select.table: database.select([select])[0]}


def _list_hosts(dump: Dump) -> dict[str, list[str]]:
    """List the hypervisors of all sites, each with the tunnel addresses that others have.

    Those that only ports name, as where a southbound database was not read, have none.
    """
    found: dict[str, list[str]] = {}
    for (source, _), tables in dump.tables.items():
        if source is not Source.SB:
            continue
        encaps = tables.get("Encap", ())
        for row in tables.get("Chassis", ()):
            if str((row.get("other_config") or {}).get(REMOTE_FLAG)).lower() != "true":
                others = (one["ip"] for one in encaps if one["chassis_name"] != row["name"])
                found[str(row["hostname"])] = sorted(set(others))
    for (source, _), tables in dump.tables.items():
        if source is Source.NEUTRON:
            for row in tables.get("port", ()):
                if host := row.get("binding:host_id"):
                    found.setdefault(str(host), [])
    return found


def _count_flows(host: Hypervisor) -> Iterator[Row]:
    """Count the flows of the integration bridge by the port that they are for."""
    counts = Counter(_keys(host.list_flows("")))
    for (datapath, key), count in counts.items():
        yield {"match": f"metadata={datapath},reg15={key}", "count": count}


def _keys(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        metadata, register = _METADATA.search(line), _REGISTER.search(line)
        if metadata and register:
            yield metadata[1], register[1]
