"""Which object a person means. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from isthmus import errors
from isthmus.diagnose.explain.rows import Rows
from isthmus.diagnose.world import Row, Source

#: Tables of central, and what their rows are called.
_KINDS = {"network": "network", "router": "router", "floatingip": "floating IP", "port": "port"}


@dataclass(frozen=True, slots=True)
class Object:
    """One object, or a server with its ports."""

    kind: str
    id: str
    row: Row
    ports: tuple[Row, ...] = ()  #: of a server


def find_object(rows: Rows, asked: str) -> Object:
    """Find a network, router, floating IP, port or server by its id, name or address.

    Raises:
        NotFound: there is none.
        Conflict: several are meant.
    """
    for found in ([*_by_id(rows, asked)], [*_by_name(rows, asked)]):
        if len(found) > 1:
            told = ", ".join(f"{one.kind} {one.id}" for one in found)
            raise errors.Conflict(
                f"{asked!r} means {len(found)} objects; say which by its id: {told}"
            )
        if found:
            return found[0]
    raise errors.NotFound(
        f"there is no network, router, floating IP, port or server {asked!r} that you may see"
    )


def _by_id(rows: Rows, asked: str) -> Iterator[Object]:
    for table, kind in _KINDS.items():
        for row in rows.central(table, id=asked):
            yield Object(kind, asked, row)
    if ports := rows.central("port", device_id=asked):
        guests = [one for one in ports if not _owner(one).startswith("network:")]
        if guests:
            yield Object("server", asked, guests[0], tuple(guests))


def _by_name(rows: Rows, asked: str) -> Iterator[Object]:
    for row in rows.central("server", name=asked):
        for port in rows.central("port", id=row["port_id"]):
            yield Object("server", asked, port, (port,))
            return  # the lab names the port after its server
    for row in rows.central("floatingip", floating_ip_address=asked):
        yield Object("floating IP", str(row["id"]), row)
    for table in ("network", "router", "port"):
        for row in rows.central(table, name=asked):
            yield Object(_KINDS[table], str(row["id"]), row)
    known = {str(row["id"]) for row in rows.central("port")}
    for place in [place for source, place in rows.dump.tables if source is Source.NEUTRON]:
        for row in rows.select(Source.NEUTRON, place, "port", name=asked):
            if str(row["id"]) not in known:
                known.add(str(row["id"]))
                yield Object("port", str(row["id"]), row)


def _owner(port: Row) -> str:
    return str(port.get("device_owner") or "")
