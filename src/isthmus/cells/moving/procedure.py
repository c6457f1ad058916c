"""Move a compute host to another cell, step by step; each step is one commit, or none.

How far a move is stands in the databases alone (`find_move`), so whoever takes it up after a crash
does what is next, or goes back. No guest is touched: nova-compute is stopped meanwhile, and finds
its rows in the other cell when it starts there.
"""

from collections.abc import Callable
from dataclasses import replace

from isthmus import errors
from isthmus.cells.moving.marker import parse_marker, render_marker
from isthmus.cells.moving.protocols import CellRows, Databases
from isthmus.cells.moving.rows import (
    check_idle,
    check_ids,
    diff_copies,
    list_servers,
    renumber,
)
from isthmus.model.compute.move import HostMove, Phase


def find_move(databases: Databases, host: str) -> HostMove | None:
    """Find out how far the move of a host is; None where it does not move."""
    mapped = databases.find_cell_of(host)
    if mapped is None:
        return None
    with databases.cell(mapped) as cell:
        service = cell.find_service(host)
    move = parse_marker(host, service.reason if service else None)
    if move is None:
        return None
    other = move.target if mapped == move.source else move.source
    with databases.cell(other) as cell:
        there = cell.find_service(host) is not None
    if mapped == move.source:
        phase = Phase.COPIED if there else Phase.FENCED
    else:
        phase = Phase.SWITCHED if there else Phase.MOVED
    return replace(move, phase=phase)


def get_move(databases: Databases, host: str) -> HostMove:
    """Return how far the move of a host is.

    Raises:
        NotFound: it does not move.
    """
    move = find_move(databases, host)
    if move is None:
        raise errors.NotFound(f"host {host} is not on its way to another cell")
    return move


def check_move(
    databases: Databases, host: str, target: str, *, renumbers: bool, stopped: bool = True
) -> HostMove:
    """Check that a host can move, and return the move that would begin; nothing is written.

    Args:
        databases: of the Nova.
        host: that is to move.
        target: uuid of the cell that it is to go to.
        renumbers: whether servers may get other ids.
        stopped: whether its nova-compute has to be stopped; else it is fenced first, and what it
            does ends, and is checked again.

    Raises:
        NotFound: the host is mapped to no cell, or has no service there.
        Refused: something stands against it.
    """
    source = databases.find_cell_of(host)
    if source is None:
        raise errors.NotFound(f"host {host} is mapped to no cell")
    if source == target:
        raise errors.Invalid(f"host {host} is in that cell")
    with databases.cell(source) as old, databases.cell(target) as new:
        service = old.find_service(host)
        if service is None:
            raise errors.NotFound(f"host {host} has no nova-compute in its cell")
        if parse_marker(host, service.reason) is not None:
            raise errors.Conflict(
                f"host {host} is on its way already: resume that, or roll it back"
            )
        if stopped and not service.closed:
            raise errors.InUse(
                f"nova-compute of {host} is up: stop it first; its guests run on without it"
            )
        _check_there(old, new, host, renumbers=renumbers, idle=stopped)
        nodes = old.read(host)
    if stopped:
        _check_consumers(databases, nodes["compute_nodes"], list_servers(nodes), host)
    move = HostMove(
        host=host,
        source=source,
        target=target,
        was_disabled=service.disabled,
        reason=service.reason,
        phase=Phase.FENCED,
    )
    render_marker(move)
    return move


def _check_there(
    old: CellRows, new: CellRows, host: str, *, renumbers: bool, idle: bool = True
) -> None:
    here, there = old.list_columns(), new.list_columns()
    odd = [name for name in here if here[name] != there.get(name)]
    if odd:
        raise errors.Conflict(
            f"the cells' tables differ ({', '.join(sorted(odd)[:3])}): bring both to one revision "
            "with nova-manage db sync"
        )
    rows = old.read(host)
    if idle:
        check_idle(rows, old.list_open_moves(host))
    if any(new.read(host)[name] for name in ("services", "compute_nodes", "instances")):
        raise errors.Conflict(
            f"host {host} is in that cell too: openstack compute service delete what is left "
            "there, and nova-manage db archive_deleted_rows for servers that were deleted"
        )
    if not renumbers:
        check_ids(rows, new.find_taken(rows))


def _check_consumers(
    databases: Databases, nodes: list[dict[str, object]], servers: list[str], host: str
) -> None:
    for node in nodes:
        coming = databases.list_consumers(str(node["uuid"])) - set(servers)
        if coming and not node["deleted"]:
            raise errors.InUse(
                f"something is on its way to {host} ({', '.join(sorted(coming)[:3])}): it holds "
                "allocations there and is no server of it yet"
            )


def check_quiet(databases: Databases, move: HostMove) -> None:
    """Check that nothing goes on with the servers of a host that is fenced.

    Raises:
        InUse: something does.
    """
    with databases.cell(move.source) as old:
        rows = old.read(move.host)
        check_idle(rows, old.list_open_moves(move.host))
    _check_consumers(databases, rows["compute_nodes"], list_servers(rows), move.host)


def begin(databases: Databases, move: HostMove) -> None:
    """Fence a host: from now on its move is known by the marker."""
    with databases.cell(move.source) as cell:
        cell.set_service(move.host, disabled=True, reason=render_marker(move))


def advance(databases: Databases, move: HostMove, *, renumbers: bool) -> None:
    """Do the next step of a move.

    Args:
        databases: of the Nova.
        move: as it was found.
        renumbers: whether servers may get other ids.

    Raises:
        Refused: something stands against it; the move stays where it is.
    """
    if move.phase is Phase.FENCED:
        _copy(databases, move, renumbers=renumbers)
    elif move.phase is Phase.COPIED:
        _switch(databases, move)
    elif move.phase is Phase.SWITCHED:
        _clean(databases, move)
    else:
        _release(databases, move)


def _copy(databases: Databases, move: HostMove, *, renumbers: bool) -> None:
    with databases.cell(move.source) as old, databases.cell(move.target) as new:
        _check_there(old, new, move.host, renumbers=renumbers)
        service = old.find_service(move.host)
        if service is None or not service.closed:
            raise errors.InUse(f"nova-compute of {move.host} is up: stop it")
        rows = old.read(move.host, lock=True)
        _check_consumers(databases, rows["compute_nodes"], list_servers(rows), move.host)
        new.insert(renumber(rows, new.find_next_ids(), keep=not renumbers))


def _switch(databases: Databases, move: HostMove) -> None:
    """Lead Nova to the new cell while nobody changes the servers in the old one."""
    with databases.cell(move.source) as old:
        rows = old.read(move.host, lock=True)
        with databases.cell(move.target) as new:
            odd = diff_copies(rows, new.read(move.host))
        if odd:
            raise errors.Conflict(
                f"{move.host} was changed in its old cell after it was copied "
                f"({', '.join(odd)}): roll the move back, and begin again"
            )
        databases.switch(move.host, list_servers(rows), move.target)


def _clean(databases: Databases, move: HostMove) -> None:
    with databases.cell(move.source) as old:
        rows = old.read(move.host, lock=True)
        servers = [one["uuid"] for one in rows["instances"] if not one["hidden"]]
        with databases.cell(move.target) as new:
            copies = new.read(move.host)
            lost = sorted(set(list_servers(rows)) - set(list_servers(copies)))
            if lost:
                raise errors.Inconsistent(
                    f"{', '.join(lost[:3])} of {move.host} is in its old cell alone: roll back"
                )
            gone = {one["uuid"] for one in rows["instances"] if one["deleted"]}
            alive = {one["uuid"] for one in copies["instances"] if not one["deleted"]}
            if gone & alive:
                raise errors.Conflict(
                    f"{', '.join(sorted(gone & alive)[:3])} was deleted in the old cell as the "
                    "move went on: openstack server delete it again, and resume"
                )
            new.set_hidden(servers, hidden=False)
        old.delete(rows)


def _release(databases: Databases, move: HostMove) -> None:
    with databases.cell(move.target) as cell:
        service = cell.find_service(move.host)
        if service is None or service.closed:
            raise errors.InUse(
                f"{move.host} is in its new cell: start nova-compute with that cell's queue, and "
                "resume"
            )
        cell.set_service(move.host, disabled=move.was_disabled, reason=move.reason)


def go_back(databases: Databases, move: HostMove) -> None:
    """Undo the last step of a move; one that has ended goes the other way instead.

    Args:
        databases: of the Nova.
        move: as it was found.
    """
    if move.phase is Phase.FENCED:
        with databases.cell(move.source) as cell:
            cell.set_service(move.host, disabled=move.was_disabled, reason=move.reason)
    elif move.phase is Phase.COPIED:
        with databases.cell(move.target) as new:
            new.delete(new.read(move.host, lock=True))
    elif move.phase is Phase.SWITCHED:
        _switch_back(databases, move)
    else:
        back = replace(move, source=move.target, target=move.source, phase=Phase.FENCED)
        begin(databases, back)


def _switch_back(databases: Databases, move: HostMove) -> None:
    with databases.cell(move.target) as new:
        rows = new.read(move.host, lock=True)
        with databases.cell(move.source) as old:
            odd = diff_copies(old.read(move.host), rows)
        if odd:
            raise errors.Conflict(
                f"{move.host} was changed in its new cell ({', '.join(odd)}): go on instead"
            )
        databases.switch(move.host, list_servers(rows), move.source)
        new.set_hidden(list_servers(rows), hidden=True)


def run_back(databases: Databases, move: HostMove, *, tell: Callable[[HostMove], None]) -> None:
    """Undo all steps of a move that has not ended.

    Args:
        databases: of the Nova.
        move: as it was found.
        tell: is told how far it is, before each step.
    """
    found: HostMove | None = move
    while found is not None:
        tell(found)
        go_back(databases, found)
        found = find_move(databases, found.host)


def run_to(
    databases: Databases,
    host: str,
    *,
    renumbers: bool,
    tell: Callable[[HostMove], None],
) -> HostMove:
    """Do all steps until nova-compute is to start in the new cell.

    Args:
        databases: of the Nova.
        host: whose move was begun.
        renumbers: whether servers may get other ids.
        tell: is told how far it is, before each step.

    Raises:
        Refused: something stands against a step.
    """
    while True:
        move = get_move(databases, host)
        tell(move)
        if move.phase is Phase.MOVED:
            return move
        advance(databases, move, renumbers=renumbers)
