"""Checks of cells: what their databases, mappings and allocations say of each other.

Source:
    nova.cmd.manage 34.0.0: `CellV2Commands`, `PlacementCommands`, whose commands are the remedies.
"""

from collections import defaultdict
from collections.abc import Iterable

from isthmus.model.compute.health import CellState, CloudState, Strays
from isthmus.model.form import counted
from isthmus.model.verdict import Answer, Report, Ruling, Severity, Subject, Verdict, order

_SHOWN = 3


def find_strays(state: CloudState) -> Strays:
    """Find servers that one side knows and another does not.

    Reading takes time, and servers come and go meanwhile: what two looks have found alike is so
    (`confirm`).
    """
    twins = _find_twins(state)
    unmapped: dict[str, frozenset[str]] = {}
    nowhere: dict[str, frozenset[str]] = {}
    mapped: dict[str, set[str]] = defaultdict(set)
    for server, cell in state.server_cells.items():
        if server not in state.leaving:
            mapped[cell].add(server)
    known = set(state.server_cells)
    for one in state.cells:
        uuid = one.cell.uuid
        known |= one.servers | one.migrations
        if one.cell.error:
            continue
        unmapped[uuid] = frozenset(
            server for server in one.servers if state.server_cells.get(server) not in twins[uuid]
        )
        nowhere[uuid] = frozenset(mapped[uuid] - one.servers)
    nodes = {host.uuid for one in state.cells for host in one.hosts}
    silent = any(one.cell.error for one in state.cells)
    return Strays(
        unmapped=unmapped,
        nowhere=nowhere,
        consumers=frozenset(
            consumer
            for consumer, root in state.consumers.items()
            if not silent and root in nodes and consumer not in known
        ),
    )


def _find_twins(state: CloudState) -> dict[str, frozenset[str]]:
    """Return for each cell the cells that have the same database, with itself."""
    by_place: dict[str, set[str]] = defaultdict(set)
    for one in state.cells:
        by_place[one.place or one.cell.uuid].add(one.cell.uuid)
    return {one.cell.uuid: frozenset(by_place[one.place or one.cell.uuid]) for one in state.cells}


def confirm(first: Strays, second: Strays) -> Strays:
    """Keep what two looks have found alike."""
    return Strays(
        unmapped=_meet(first.unmapped, second.unmapped),
        nowhere=_meet(first.nowhere, second.nowhere),
        consumers=first.consumers & second.consumers,
    )


def _meet(
    first: dict[str, frozenset[str]], second: dict[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    return {cell: found & second.get(cell, frozenset()) for cell, found in first.items()}


def any_stray(strays: Strays) -> bool:
    """Tell whether there is anything to look at a second time."""
    return bool(strays.consumers or any(strays.unmapped.values()) or any(strays.nowhere.values()))


def check_cells(state: CloudState, strays: Strays) -> Report:
    """Hold what the databases say of the cells against each other."""
    silent = [one.cell.name for one in state.cells if one.cell.error]
    checks: tuple[tuple[str, Iterable[Verdict], bool], ...] = (
        ("cell.database", (*_check_databases(state), *_check_places(state)), False),
        ("cell.schema", _check_schemas(state), True),
        ("cell.service", _check_services(state), True),
        ("cell.host", _check_hosts(state), True),
        ("cell.twice", _check_twice(state), True),
        ("cell.server", _check_servers(state, strays), True),
        ("cell.allocation", _check_allocations(strays), True),
    )
    found: list[Verdict] = []
    rulings = []
    for name, verdicts, needs_all in checks:
        mine = list(verdicts)
        found += mine
        answer = Answer.FOUND if mine else Answer.FINE
        why = ""
        if needs_all and silent and not mine:
            answer, why = Answer.NOT_SEEN, f"cell {', '.join(silent)} does not answer"
        rulings.append(Ruling(check=name, answer=answer, why=why))
    return Report(findings=tuple(sorted(found, key=order)), rulings=tuple(rulings))


def _list(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more


def _subject(one: CellState) -> Subject:
    return Subject(one.cell.name, "cell")


def _check_databases(state: CloudState) -> Iterable[Verdict]:
    for one in state.cells:
        if one.cell.error:
            yield Verdict(
                code="cell.database",
                severity=Severity.DEGRADED if one.cell.disabled else Severity.BROKEN,
                subject=_subject(one),
                message="its database does not answer: its servers are UNKNOWN in every list",
                evidence=one.cell.error,
                remedy="start the database, or correct the mapping with "
                "nova-manage cell_v2 update_cell",
            )


def _check_places(state: CloudState) -> Iterable[Verdict]:
    """Check that no two cells have one database."""
    first: dict[str, CellState] = {}
    for one in state.cells:
        if one.place and first.setdefault(one.place, one) is not one:
            yield Verdict(
                code="cell.database",
                severity=Severity.BROKEN,
                subject=_subject(one),
                message=f"its database is that of cell {first[one.place].cell.name} as well: each "
                "host and server there counts twice",
                evidence=one.place,
                remedy="correct the mapping that is wrong with nova-manage cell_v2 update_cell, or "
                "remove it with nova-manage cell_v2 delete_cell",
            )


def _check_schemas(state: CloudState) -> Iterable[Verdict]:
    by_schema: dict[str, list[CellState]] = defaultdict(list)
    for one in state.cells:
        if not one.cell.error:
            by_schema[one.schema].append(one)
    if len(by_schema) < 2:
        return
    most = max(by_schema, key=lambda schema: (len(by_schema[schema]), schema))
    for schema, cells in by_schema.items():
        for one in cells if schema != most else ():
            yield Verdict(
                code="cell.schema",
                severity=Severity.DEGRADED,
                subject=_subject(one),
                message="its tables are of another revision than those of most cells",
                evidence=f"{schema or 'none'}, others {most or 'none'}",
                remedy="nova-manage db sync with the configuration of the older one",
            )


def _check_services(state: CloudState) -> Iterable[Verdict]:
    for one in state.cells:
        for why in sorted({host.closed for host in one.hosts if host.closed}):
            hosts = [host.name for host in one.hosts if host.closed == why]
            yield Verdict(
                code="cell.service",
                severity=Severity.ADVICE if why == "service is disabled" else Severity.DEGRADED,
                subject=_subject(one),
                message=f"{counted(len(hosts), 'host')} of {len(one.hosts)} taking nothing: {why}",
                evidence=_list(hosts),
                remedy="openstack compute service list, and start nova-compute there",
            )


def _check_hosts(state: CloudState) -> Iterable[Verdict]:
    """Check that each host is mapped to its cell, and each mapping leads to a host."""
    known = {one.cell.uuid for one in state.cells}
    twins = _find_twins(state)
    there: dict[str, set[str]] = defaultdict(set)
    for one in state.cells:
        names = {host.name for host in one.hosts}
        there[one.cell.uuid] = names
        mine = twins[one.cell.uuid]
        astray = {name for name in names if state.host_cells.get(name) not in mine}
        # One that is in two cells is told of there.
        astray -= {name for name in astray if _is_elsewhere(state, name)}
        if astray:
            yield Verdict(
                code="cell.host",
                severity=Severity.BROKEN,
                subject=_subject(one),
                message=f"{counted(len(astray), 'host')} without a mapping to this cell: nothing "
                "is built there",
                evidence=_list(astray),
                remedy="nova-manage cell_v2 discover_hosts",
            )
        if one.cell.error:
            continue
        empty = {
            name
            for name, cell in state.host_cells.items()
            if cell == one.cell.uuid and name not in names
        }
        if empty:
            yield Verdict(
                code="cell.host",
                severity=Severity.DEGRADED,
                subject=_subject(one),
                message=f"{counted(len(empty), 'host mapping')} without a compute node",
                evidence=_list(empty),
                remedy="nova-manage cell_v2 delete_host for hosts that are gone",
            )
    lost = [name for name, cell in state.host_cells.items() if cell not in known]
    if lost:
        yield Verdict(
            code="cell.host",
            severity=Severity.BROKEN,
            subject=Subject("none", "cell"),
            message=f"{counted(len(lost), 'host mapping')} to a cell that does not exist",
            evidence=_list(lost),
            remedy="nova-manage cell_v2 delete_host, then nova-manage cell_v2 discover_hosts",
        )


def _is_elsewhere(state: CloudState, host: str) -> bool:
    return len(_list_places(state, host)) > 1


def _list_places(state: CloudState, host: str) -> dict[str, str]:
    """Return the names of the cells that a host is in, one for each database."""
    found: dict[str, str] = {}
    for one in state.cells:
        if any(each.name == host for each in one.hosts):
            found.setdefault(one.place or one.cell.uuid, one.cell.name)
    return found


def _check_twice(state: CloudState) -> Iterable[Verdict]:
    hosts = [name for one in state.cells for name in sorted({host.name for host in one.hosts})]
    for name in dict.fromkeys(hosts):
        places = _list_places(state, name)
        if len(places) > 1:
            yield Verdict(
                code="cell.twice",
                severity=Severity.BROKEN,
                subject=Subject(name, "host"),
                message="it has a compute node in several cells",
                evidence=", ".join(places.values()),
                remedy="delete the service in the cell that it has left: "
                "openstack compute service delete",
            )


def _check_servers(state: CloudState, strays: Strays) -> Iterable[Verdict]:
    cells = {one.cell.uuid: one for one in state.cells}
    for uuid, servers in strays.unmapped.items():
        if servers:
            yield Verdict(
                code="cell.server",
                severity=Severity.BROKEN,
                subject=_subject(cells[uuid]),
                message=f"{counted(len(servers), 'server')} without a mapping to this cell: the "
                "API does not find them by their id",
                evidence=_list(servers),
                remedy=f"nova-manage cell_v2 map_instances --cell_uuid {uuid}",
            )
    for uuid, servers in strays.nowhere.items():
        if servers:
            yield Verdict(
                code="cell.server",
                severity=Severity.DEGRADED,
                subject=_subject(cells[uuid]),
                message=f"{counted(len(servers), 'server mapping')} without a server",
                evidence=_list(servers),
                remedy="nova-manage cell_v2 verify_instance --uuid, and "
                "nova-manage db archive_deleted_rows for those that were deleted",
            )
    lost = [server for server, cell in state.server_cells.items() if cell and cell not in cells]
    if lost:
        yield Verdict(
            code="cell.server",
            severity=Severity.BROKEN,
            subject=Subject("none", "cell"),
            message=f"{counted(len(lost), 'server mapping')} to a cell that does not exist",
            evidence=_list(lost),
            remedy="nova-manage cell_v2 create_cell with its databases, or delete the mappings",
        )


def _check_allocations(strays: Strays) -> Iterable[Verdict]:
    if strays.consumers:
        yield Verdict(
            code="cell.allocation",
            severity=Severity.DEGRADED,
            subject=Subject("placement", "service"),
            message=f"{counted(len(strays.consumers), 'consumer')} with allocations and no "
            "server: room that nobody uses",
            evidence=_list(strays.consumers),
            remedy="nova-manage placement audit",
        )
