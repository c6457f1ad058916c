"""An object explained: found, followed down, and built by hand."""

from collections.abc import Iterator

from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.explain.by_hand import build_by_hand
from isthmus.diagnose.explain.find import Object, find_object
from isthmus.diagnose.explain.network import explain_network
from isthmus.diagnose.explain.port import explain_port
from isthmus.diagnose.explain.router import explain_floating_ip, explain_router
from isthmus.diagnose.explain.rows import Rows
from isthmus.diagnose.explain.stage import Explanation, Stage


def explain(dump: Dump, asked: str) -> Explanation:
    """Explain how an object is realised.

    Args:
        dump: all that there is.
        asked: id, name or address of a network, router, floating IP, port or server.

    Raises:
        NotFound: there is none.
        Conflict: several are meant.
    """
    rows = Rows(dump)
    found = find_object(rows, asked)
    stages = tuple(_follow(rows, found))
    sites = dict.fromkeys(one.site for one in stages if one.site)
    site = next((one for one in sites if rows.list_hosts(one)), "")
    routed = found.kind in ("router", "floating IP")
    return Explanation(
        kind=found.kind,
        id=found.id,
        label=_label(found),
        at=dump.at,
        stages=stages,
        by_hand=tuple(build_by_hand(site, rows.list_hosts(site), routed=routed)) if site else (),
        missing=tuple(dump.missing),
    )


def _follow(rows: Rows, found: Object) -> Iterator[Stage]:
    if found.kind == "network":
        yield from explain_network(rows, found.row)
    elif found.kind == "router":
        yield from explain_router(rows, found.row)
    elif found.kind == "floating IP":
        yield from explain_floating_ip(rows, found.row)
    for port in found.ports or ([found.row] if found.kind == "port" else ()):
        yield from explain_port(rows, port)


def _label(found: Object) -> str:
    name = str(found.row.get("name") or found.row.get("floating_ip_address") or "")
    return f"{found.kind} {name} ({found.id})" if name and name != found.id else (
        f"{found.kind} {found.id}"
    )  # fmt: skip
