"""What a new cell is to be, and which steps are left until it is. Pure."""

import re
from collections.abc import Sequence
from urllib.parse import quote, urlsplit, urlunsplit

from isthmus import errors
from isthmus.model.compute.adding import AddedStep, AddState, AddStep, CellServers, NewCell
from isthmus.model.compute.adding import StepState as State
from isthmus.model.compute.cloud import CellAddress
from isthmus.model.form import counted

#: What names of databases, users and vhosts all take; the user's is `nova_` and this.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,25}[a-z0-9])?")


def check_new_name(name: str, cells: Sequence[CellAddress]) -> None:
    """Check that a cell can have this name.

    Raises:
        Invalid: it is none that databases and queues can have.
        Exists: there is such a cell.
    """
    if not _NAME.fullmatch(name):
        raise errors.Invalid(
            f"{name!r} cannot be the name of a database and a vhost: use 1 to 27 of a-z, 0-9, - "
            "and _, with a letter or digit at both ends"
        )
    if any(one.cell.name == name for one in cells):
        raise errors.Exists(f"there is a cell {name!r} already")


def plan_cell(name: str, servers: CellServers, password: str) -> NewCell:
    """Decide where a new cell is, and who logs in there.

    Args:
        name: of the cell.
        servers: that are to hold it.
        password: of its user, of the database and of the queue alike.

    Raises:
        Invalid: the URL of the database server makes no sense.
    """
    own = f"nova_{name.replace('-', '_')}"
    parts = urlsplit(servers.database)
    place = parts.netloc.rpartition("@")[2]
    if not parts.scheme.startswith(("mysql", "mariadb")) or not (place or parts.query):
        raise errors.Invalid("the database server's URL is not mysql+pymysql://USER:PASSWORD@HOST/")
    login = f"{own}:{quote(password, safe='')}"
    database = urlunsplit((parts.scheme, f"{login}@{place}", f"/{own}", parts.query, ""))
    hosts = ",".join(f"{login}@{one.strip()}" for one in servers.queue.split(","))
    return NewCell(
        name=name,
        database=database,
        queue=f"rabbit://{hosts}/{name}",
        reached_from=servers.reached_from,
    )


def check_unused(state: AddState, *, any_queue: bool) -> None:
    """Check that nothing of a new cell is there before its file says that it is ours.

    Args:
        state: of the cell; its file is not written yet.
        any_queue: whether its vhost or its user is there.

    Raises:
        Exists: something is, which is somebody's.
    """
    found = [
        word for word, there in (("database", state.database.there), ("vhost", any_queue)) if there
    ]
    if found:
        raise errors.Exists(
            f"its {' and its '.join(found)} would be one that is there already, and "
            f"{state.file} is not: choose another name, or drop what is left of that"
        )


def check_anew(state: AddState) -> None:
    """Check that a database which is mapped by no cell may be dropped and made anew.

    Raises:
        InUse: it has servers.
    """
    if state.mapped is None and state.database.servers:
        raise errors.InUse(
            f"the database of the cell has {counted(state.database.servers, 'server')} and no "
            "mapping leads there: find out whose they are before it is made anew"
        )


def plan_steps(
    state: AddState, *, name: str, by_hand: bool, enables: bool, canary: bool
) -> tuple[AddedStep, ...]:
    """List all steps of adding a cell, and how each stands.

    A schema that no mapping leads to counts as not there: it may be half of one, and is made anew.

    Args:
        state: what there is.
        name: of the cell.
        by_hand: whether a person starts its conductor.
        enables: whether the scheduler is to use it.
        canary: whether a server is to prove it.
    """
    mapped = state.mapped is not None
    enabled = state.mapped is not None and not state.mapped.cell.disabled
    hosts = bool(state.hosts)

    def stands(done: object, otherwise: State = State.NEXT) -> State:
        return State.DONE if done else otherwise

    def row(step: AddStep, how: State, what: str) -> AddedStep:
        return AddedStep(step=step, state=how, what=what)

    later = State.NEXT if enables else State.LEFT_OUT
    return (
        row(AddStep.FILE, stands(state.cell), f"write {state.file} with new passwords"),
        row(AddStep.QUEUE, stands(state.queue), "make its vhost and user in RabbitMQ"),
        row(AddStep.DATABASE, stands(mapped), "make its database and user"),
        row(AddStep.SCHEMA, stands(mapped), "migrate its tables (nova-manage db sync)"),
        row(AddStep.MAPPING, stands(mapped), f"map cell {name}, disabled"),
        row(
            AddStep.CONDUCTOR,
            stands(state.conductor, State.BY_HAND if by_hand else State.NEXT),
            f"start nova-conductor with {state.file}",
        ),
        row(
            AddStep.HOSTS,
            stands(hosts and not state.unmapped, State.NEXT if state.unmapped else State.LEFT_OUT),
            "map its hosts (nova-manage cell_v2 discover_hosts)",
        ),
        row(AddStep.ENABLE, stands(enabled, later), "enable it"),
        row(
            AddStep.CANARY,
            State.NEXT if canary and enables and hosts else State.LEFT_OUT,
            "build a server there, and delete it",
        ),
    )


def find_next(steps: Sequence[AddedStep]) -> AddStep | None:
    """Return the first step that is not done; None where all are."""
    left = (one.step for one in steps if one.state in {State.NEXT, State.BY_HAND})
    return next(left, None)
