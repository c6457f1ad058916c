"""Rows of a dump as explanations ask for them: by value, none where they were not read."""

from collections.abc import Iterable, Iterator
from typing import Any

from isthmus import errors
from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.world import Row, Source
from isthmus.model.dataplane.ovn import REMOTE_FLAG
from isthmus.model.site import CENTRAL

#: Hypervisors of a site that are shown, those with flows first.
_HOSTS = 6


class Rows:
    """All that a dump has, by source, place, table and value."""

    def __init__(self, dump: Dump) -> None:
        """Bind it."""
        self._ways = Recorded(dump)
        self.dump = dump

    def select(self, source: Source, place: str, table: str, **wanted: Any) -> list[Row]:
        """List the rows that have certain values."""
        try:
            rows = self._ways.get_rows(source, place, table)
        except errors.IsthmusError:
            return []
        return rows.list({key: _several(value) for key, value in wanted.items()})

    def find(self, source: Source, place: str, table: str, **wanted: Any) -> Row | None:
        """Find the first row that has certain values."""
        return next(iter(self.select(source, place, table, **wanted)), None)

    def central(self, table: str, **wanted: Any) -> list[Row]:
        """List rows of central."""
        return self.select(Source.CENTRAL, CENTRAL, table, **wanted)

    def has(self, source: Source, place: str) -> bool:
        """Tell whether anything of a source was read."""
        return (source, place) in self.dump.tables

    def list_sites(self, network_id: str) -> list[str]:
        """List the sites that a network is present at."""
        rows = self.central("site_presence", network_id=network_id)
        return sorted(str(row["site"]) for row in rows if not row.get("withdrawn"))

    def binding(self, site: str, name: str) -> Row | None:
        """Find a port binding by its logical port."""
        return self.find(Source.SB, site, "Port_Binding", logical_port=name)

    def key_of(self, site: str, binding: Row | None) -> int | None:
        """Return the key of the datapath that a binding is on."""
        if binding is None:
            return None
        path = self.find(Source.SB, site, "Datapath_Binding", _uuid=one_of(binding["datapath"]))
        return int(path["tunnel_key"]) if path and path.get("tunnel_key") else None

    def chassis_of(self, site: str, binding: Row | None) -> str:
        """Return the name of the chassis that has claimed a binding."""
        uuid = one_of(binding.get("chassis")) if binding else None
        row = self.find(Source.SB, site, "Chassis", _uuid=uuid) if uuid else None
        return str(row["name"]) if row else ""

    def list_hosts(self, site: str) -> list[str]:
        """List the hypervisors of a site."""
        return [
            str(row["hostname"]) for row in self.select(Source.SB, site, "Chassis")
            if str((row.get("other_config") or {}).get(REMOTE_FLAG)).lower() != "true"
        ]  # fmt: skip

    def list_flows(self, site: str, match: str) -> Iterator[tuple[str, int]]:
        """Yield hypervisors of a site and how many flows begin so there; some of many."""
        found = [
            (host, sum(int(row.get("count") or 0) for row in self.select(Source.HOST, host, "flow")
                       if f"{row.get('match')},".startswith(f"{match},")))
            for host in self.list_hosts(site) if self.has(Source.HOST, host)
        ]  # fmt: skip
        yield from sorted(found, key=lambda one: -one[1])[:_HOSTS]

    def interfaces(self, host: str, port_id: str) -> Iterable[Row]:
        """Yield the interfaces of a port on a hypervisor."""
        for row in self.select(Source.HOST, host, "Interface"):
            if (row.get("external_ids") or {}).get("iface-id") == port_id:
                yield row

    def tunnel(self, host: str, address: str) -> Row | None:
        """Find the tunnel of a hypervisor to an address."""
        for row in self.select(Source.HOST, host, "Interface"):
            if (row.get("options") or {}).get("remote_ip") == address:
                return row
        return None


def one_of(value: Any) -> Any:
    """Return the value of an optional column of OVSDB."""
    return next(iter(value), None) if isinstance(value, list) else value


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
