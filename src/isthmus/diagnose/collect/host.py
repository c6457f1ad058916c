"""What is read of an end's hypervisor."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from isthmus import errors
from isthmus.diagnose.collect.protocols import Hypervisor
from isthmus.diagnose.collect.tasks import Task
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select

_INTERFACE = (
    "name", "type", "external_ids", "options", "ofport", "error", "admin_state", "link_state",
    "mtu", "statistics", "bfd_status",
)  # fmt: skip


def tasks(
    host: str, found: Hypervisor, *, tunnels: Sequence[str], towards: Sequence[tuple[str, int, int]]
) -> Iterator[Task]:
    """Return what to read of a hypervisor.

    Args:
        host: its name.
        found: the way in.
        tunnels: addresses that it should have tunnels to.
        towards: ports (id, datapath key, port key) that it should have flows to.
    """

    def task(what: str, read: Callable[[], dict[str, list[Row]]]) -> Task:
        return Task(Source.HOST, host, what, read)

    yield task("Open vSwitch", lambda: _switch(found))
    yield task("daemons", lambda: {"daemon": list(_daemons(found))})
    yield task("connections", lambda: {"conntrack": list(_connections(found))})
    yield task("routes", lambda: {"route": [_route(found, one) for one in tunnels]})
    yield task("flows", lambda: {"flow": [_flow(found, *one) for one in towards]})


def _switch(found: Hypervisor) -> dict[str, list[Row]]:
    settings, interfaces = found.select(
        [
            Select("Open_vSwitch", columns=("external_ids", "ovs_version")),
            Select("Interface", columns=_INTERFACE),
        ]
    )
    rows: list[Row] = [
        {**row, "iface_id": row["external_ids"].get("iface-id", "")} for row in interfaces
    ]
    return {"Open_vSwitch": settings, "Interface": rows}


def _daemons(found: Hypervisor) -> Iterator[Row]:
    for name, words in (
        ("ovs-vswitchd", ("version",)),
        ("ovn-controller", ("connection-status",)),
    ):
        try:
            said = found.ask_daemon(name, *words).strip()
            state = said if name == "ovn-controller" else "running"
        except errors.TimedOut as error:
            state, said = "hung", error.message
        except errors.NotFound as error:
            state, said = "dead", error.message
        row = {"name": name, "state": state, "said": said.splitlines()[0] if said else ""}
        yield row | (
            {"version": _version(found, said, name)} if state not in ("dead", "hung") else {}
        )


def _version(found: Hypervisor, said: str, name: str) -> str:
    """Return a daemon's version; empty where it does not say."""
    if name != "ovs-vswitchd":
        try:
            said = found.ask_daemon(name, "version").strip()
        except (errors.TimedOut, errors.NotFound):
            return ""
    words = said.splitlines()[0].split() if said else []
    return words[-1] if words else ""


def _connections(found: Hypervisor) -> Iterator[Row]:
    """Count the connections that are tracked; nothing where the datapath does not say."""
    try:
        said = [
            found.ask_daemon("ovs-vswitchd", f"dpctl/ct-get-{word}").strip()
            for word in ("nconns", "maxconns")
        ]
    except errors.NotFound:
        return
    if all(one.isdecimal() for one in said):
        yield {"count": int(said[0]), "most": int(said[1])}


def _route(found: Hypervisor, address: str) -> Row:
    routes: list[dict[str, Any]] = json.loads(found.run_ip("route", "get", address))
    device = str(routes[0].get("dev", "")) if routes else ""
    links = json.loads(found.run_ip("link", "show", "dev", device)) if device else [{}]
    mtu = links[0].get("mtu")
    metrics = routes[0].get("metrics") if routes else None
    if isinstance(metrics, list) and metrics and "mtu" in metrics[0]:
        mtu = metrics[0]["mtu"]
    return {"to": address, "dev": device, "mtu": mtu}


def _flow(found: Hypervisor, port_id: str, datapath: int, key: int) -> Row:
    match = f"metadata={datapath:#x},reg15={key:#x}"
    return {"to": port_id, "match": match, "count": len(found.list_flows(match))}
