"""Answers out of a dump, in the place of the clouds, databases and hosts that it was made of."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isthmus import errors
from isthmus.diagnose.dump.allow import TABLES
from isthmus.diagnose.dump.form import Dump, Missing
from isthmus.diagnose.dump.rows import IndexedRows
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select, plain
from isthmus.model.site import CENTRAL

#: Errors that whoever reads tells apart; another one is refused.
_ERRORS: Mapping[str, type[errors.IsthmusError]] = {
    one.code: one
    for one in (
        errors.Refused, errors.Invalid, errors.NotFound, errors.Unsupported, errors.Transient,
        errors.Unreachable, errors.TimedOut, errors.Busy, errors.ProtocolError, errors.StepFailed,
    )
}  # fmt: skip
#: Flows towards one port that are counted; more say no more.
_MOST_FLOWS = 1000
#: Questions to ovs-vswitchd, and the column that has the answer.
_COUNTS = {"dpctl/ct-get-nconns": "count", "dpctl/ct-get-maxconns": "most"}


class Recorded:
    """Ways in to what a dump has: what was not read when it was made is refused as it was then."""

    def __init__(self, dump: Dump) -> None:
        """Bind it."""
        self._dump = dump
        self._missing: dict[tuple[Source, str], dict[str, Missing]] = {}
        for one in dump.missing:
            self._missing.setdefault((one.source, one.place), {})[one.table] = one
        self._tables: dict[tuple[Source, str, str], IndexedRows] = {}
        self.api = RecordedApi(self, Source.CENTRAL, CENTRAL)
        self.lab = dump.lab

    def now(self) -> str:
        """Return the time of the dump."""
        return self._dump.at

    def open_site_api(self, name: str, region: str) -> "RecordedApi":
        """Open the lists of a site's Neutron."""
        del region
        return RecordedApi(self, Source.NEUTRON, name)

    def open_northbound(self, site: str) -> "RecordedDatabase":
        """Open a site's northbound database."""
        self.require(Source.NB, site)
        return RecordedDatabase(self, Source.NB, site)

    def open_southbound(self, site: str) -> "RecordedDatabase":
        """Open a site's southbound database."""
        self.require(Source.SB, site)
        return RecordedDatabase(self, Source.SB, site)

    def open_host(self, host: str) -> "RecordedHost":
        """Open a hypervisor."""
        self.require(Source.HOST, host)
        return RecordedHost(self, host)

    def find_server_port(self, name: str) -> str | None:
        """Find the port of a server that the lab knew by name."""
        rows = self._dump.tables.get((Source.CENTRAL, CENTRAL), {}).get("server", [])
        return next((str(row["port_id"]) for row in rows if row.get("name") == name), None)

    def list_servers(self) -> dict[str, str]:
        """List the ports of the servers that the lab knew by name."""
        rows = self._dump.tables.get((Source.CENTRAL, CENTRAL), {}).get("server", [])
        return {str(row["name"]): str(row["port_id"]) for row in rows}

    def require(self, source: Source, place: str) -> None:
        """Refuse a place of which nothing was read.

        Raises:
            Unsupported: there was no way in, or the dump does not name the place.
        """
        if (source, place) in self._dump.tables:
            return
        whole = self._missing.get((source, place), {}).get("")
        if whole is not None or (source, place) not in self._missing:
            raise errors.Unsupported(whole.reason if whole else "it is not in the dump")

    def get_rows(self, source: Source, place: str, table: str) -> IndexedRows:
        """Return the rows of a table.

        Raises:
            IsthmusError: it was not read, with the reason of then.
        """
        key = (source, place, table)
        if key not in self._tables:
            tables = self._dump.tables.get((source, place), {})
            if table not in tables:
                raise self._why_not(source, place, table)
            self._tables[key] = IndexedRows(tables[table])
        return self._tables[key]

    def _why_not(self, source: Source, place: str, table: str) -> errors.IsthmusError:
        known = self._missing.get((source, place), {})
        found = known.get(table) or known.get("")
        if found is None:
            return errors.Unsupported(f"{table} is not in the dump")
        return _ERRORS.get(found.error, errors.Refused)(found.reason)


class RecordedApi:
    """Lists of one tier's Neutron."""

    def __init__(self, ways: Recorded, source: Source, place: str) -> None:
        """Bind it."""
        self._ways, self._source, self._place = ways, source, place

    def list(self, resource: str, **filters: Any) -> list[Row]:
        """List resources that have certain values, as Neutron does; whole rows, always."""
        filters.pop("fields", None)
        rows = self._ways.get_rows(self._source, self._place, resource)
        return rows.list(
            {
                key: value if isinstance(value, list) else [value]
                for key, value in filters.items() if value is not None
            }
        )  # fmt: skip

    def read_ahead_s(self) -> float:
        """Return how far its clock was ahead.

        Raises:
            IsthmusError: it was not read.
        """
        rows = self._ways.get_rows(self._source, self._place, "clock").list({})
        if not rows or rows[0].get("ahead_s") is None:
            raise errors.NotFound("its clock is not in the dump")
        return float(rows[0]["ahead_s"])


class RecordedDatabase:
    """One OVSDB database."""

    def __init__(self, ways: Recorded, source: Source, place: str) -> None:
        """Bind it."""
        self._ways, self._source, self._place = ways, source, place

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        """Return the rows of each select: conditions that values are equal, or are in a set."""
        return [self._one(one) for one in selects]

    def read_server(self) -> Row:
        """Return how the server had its database."""
        rows = self._ways.get_rows(self._source, self._place, "server").list({})
        if not rows:
            raise errors.NotFound("the state of the server is not in the dump")
        return rows[0]

    def _one(self, select: Select) -> list[Row]:
        filters = {column: _wanted(value) for column, _, value in select.where}
        rows = self._ways.get_rows(self._source, self._place, select.table).list(filters)
        if not select.columns:
            return rows
        # As an empty column is: older dumps may lack one that is asked for.
        empty = {
            name: keep(None) for name, keep in TABLES[self._source][select.table].items()
            if name in select.columns
        }  # fmt: skip
        return [{**empty, **{c: row[c] for c in select.columns if c in row}} for row in rows]


def _wanted(value: Any) -> Sequence[Any]:
    found = plain(value)
    return found if isinstance(found, list) else [found]


class RecordedHost(RecordedDatabase):
    """One hypervisor: rows of Open vSwitch, and what was asked of it in words."""

    def __init__(self, ways: Recorded, host: str) -> None:
        """Bind it."""
        super().__init__(ways, Source.HOST, host)
        self._host = host

    def _find(self, table: str, **wanted: str) -> Row | None:
        rows = self._ways.get_rows(Source.HOST, self._host, table)
        found = rows.list({key: [value] for key, value in wanted.items()})
        return found[0] if found else None

    def ask_daemon(self, daemon: str, *words: str) -> str:
        """Return what a daemon said."""
        if words and words[0] in _COUNTS:
            counts = self._find("conntrack")
            if counts is None:
                raise errors.NotFound(f"{words[0]} is not in the dump")
            return str(counts[_COUNTS[words[0]]])
        row = self._find("daemon", name=daemon)
        if row is None:
            raise errors.NotFound(f"{daemon} is not in the dump")
        said = str(
            row.get("version" if words == ("version",) and "version" in row else "said") or ""
        )
        if row.get("state") == "hung":
            raise errors.TimedOut(said)
        if row.get("state") == "dead":
            raise errors.NotFound(said)
        return said

    def get_made(self, table: str) -> list[Row]:
        """Return the rows of a table as they were made.

        Raises:
            IsthmusError: it was not read, with the reason of then.
        """
        return self._ways.get_rows(Source.HOST, self._host, table).list({})

    def read_file(self, path: str) -> str:
        """Refuse: what was made of files is in the dump, and not the files."""
        raise errors.NotFound(f"{path} is not in the dump")

    def read_log(self, daemon: str) -> list[str]:
        """Refuse: what was made of logs is in the dump, and not the logs."""
        raise errors.NotFound(f"the log of {daemon} is not in the dump")

    def list_flows(self, match: str, bridge: str = "") -> list[str]:
        """List as many flows as there were; what they did is not in the dump."""
        del bridge
        row = self._find("flow", match=match)
        return [match] * min(int(row["count"]) if row else 0, _MOST_FLOWS)

    def run_ip(self, *words: str) -> str:
        """Return what `ip` said of a route; the MTU of a link is that of the route over it."""
        if words[:2] != ("route", "get"):
            return json.dumps([{}])
        row = self._find("route", to=words[2])
        if row is None:
            raise errors.Unsupported(f"the route to {words[2]} is not in the dump")
        return json.dumps([{"dev": row.get("dev"), "metrics": [{"mtu": row.get("mtu")}]}])


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Tell that a dump has rows that no Isthmus wrote, where code trips over them.

    Raises:
        Invalid: it has.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise errors.Invalid(
            f"{name} holds rows that isthmus gather does not write "
            f"({type(error).__name__}: {str(error)[:80]})"
        ) from error
