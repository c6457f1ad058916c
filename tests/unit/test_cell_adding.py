"""A cell that is added: what it is to be, which steps are left, and a world that ends anywhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isthmus import errors
from isthmus.cells.adding.plan import (
    check_anew,
    check_new_name,
    check_unused,
    find_next,
    plan_cell,
    plan_steps,
)
from isthmus.cells.adding.procedure import Adding, Wanted
from isthmus.cells.adding.split import check_hosts, check_no_others
from isthmus.cells.moving.bring import plan_turn
from isthmus.model.compute.adding import AddState, AddStep, CellServers, Holds, NewCell
from isthmus.model.compute.cloud import Cell, CellAddress
from isthmus.model.compute.move import HostMove, Phase, Turn

FILE = Path("/etc/nova/cell-c2.conf")
SERVERS = CellServers(
    database="mysql+pymysql://root:R00t@db2:3307/?charset=utf8",
    queue="mq1:5672,mq2:5672",
    management="http://admin:x@mq1:15672",
)


def mapped(*, disabled: bool, name: str = "c2") -> CellAddress:
    cell = Cell(name=name, uuid=f"u-{name}", disabled=disabled)
    return CellAddress(id=2, cell=cell, database="mysql://x")


def test_a_cell_gets_a_login_of_its_own_on_each_server() -> None:
    cell = plan_cell("east-2", SERVERS, "p/w")
    assert cell.database == "mysql+pymysql://nova_east_2:p%2Fw@db2:3307/nova_east_2?charset=utf8"
    login = "nova_east_2:p%2Fw"
    assert cell.queue == f"rabbit://{login}@mq1:5672,{login}@mq2:5672/east-2"
    assert "p%2Fw" not in repr(cell)
    assert "R00t" not in repr(SERVERS)
    socket = replace(SERVERS, database="mysql+pymysql://root@localhost/?unix_socket=/s")
    assert plan_cell("a", socket, "p").database.endswith("@localhost/nova_a?unix_socket=/s")
    for url in ("postgresql://a@b/", "nonsense", "mysql:///"):
        with pytest.raises(errors.Invalid, match="mysql"):
            plan_cell("a", replace(SERVERS, database=url), "p")


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "ä", "a" * 28, "a/b", "a.b", "a%2f"])
def test_a_name_that_no_database_can_have_is_refused(name: str) -> None:
    with pytest.raises(errors.Invalid, match="cannot be the name"):
        check_new_name(name, [])


def test_a_name_is_taken_once() -> None:
    check_new_name("a" * 27, [mapped(disabled=False)])
    with pytest.raises(errors.Exists, match="is a cell 'c2'"):
        check_new_name("c2", [mapped(disabled=False)])


def test_what_is_there_before_the_file_is_somebody_elses() -> None:
    check_unused(AddState(file=FILE), any_queue=False)
    with pytest.raises(errors.Exists, match="its vhost would"):
        check_unused(AddState(file=FILE), any_queue=True)
    state = AddState(file=FILE, database=Holds(there=True))
    with pytest.raises(errors.Exists, match="its database and its vhost would"):
        check_unused(state, any_queue=True)


def test_servers_without_a_mapping_are_not_dropped() -> None:
    state = AddState(file=FILE, database=Holds(there=True, tables=9, servers=1))
    with pytest.raises(errors.InUse, match="has 1 server"):
        check_anew(state)
    check_anew(replace(state, mapped=mapped(disabled=True)))


NEW = NewCell(name="c2", database="d", queue="q")
WRITTEN = AddState(file=FILE, cell=NEW)
MAPPED = replace(WRITTEN, queue=True, mapped=mapped(disabled=True))
UP = replace(MAPPED, conductor=True)
ENABLED = replace(UP, mapped=mapped(disabled=False))
WITH_HOST = replace(UP, hosts=("h1",), unmapped=("h1",))
HOST_MAPPED = replace(ENABLED, hosts=("h1",))


@pytest.mark.parametrize(
    ("state", "kind", "step"),
    [
        (AddState(file=FILE), "", AddStep.FILE),
        (WRITTEN, "", AddStep.QUEUE),
        (replace(WRITTEN, queue=True), "", AddStep.DATABASE),
        # half a schema, which no mapping leads to, is made anew
        (replace(WRITTEN, queue=True, database=Holds(there=True, tables=50)), "", AddStep.DATABASE),
        (MAPPED, "", AddStep.CONDUCTOR),
        (replace(MAPPED, queue=False), "", AddStep.QUEUE),  # somebody deleted the vhost
        (UP, "", AddStep.ENABLE),
        (UP, "disabled", None),
        (WITH_HOST, "", AddStep.HOSTS),
        (replace(UP, hosts=("h1",)), "", AddStep.ENABLE),
        (ENABLED, "", None),
        (ENABLED, "canary", None),  # no host that could prove it
        (HOST_MAPPED, "", None),
        (HOST_MAPPED, "canary", AddStep.CANARY),
        (HOST_MAPPED, "canary disabled", None),
    ],
)
def test_which_step_is_next(state: AddState, kind: str, step: AddStep | None) -> None:
    steps = plan_steps(
        state, name="c2", by_hand=False, enables="disabled" not in kind, canary="canary" in kind
    )
    assert find_next(steps) is step
    assert [one.step for one in steps] == list(AddStep)


def move(phase: Phase, source: str = "a", target: str = "b") -> HostMove:
    return HostMove(
        host="h", source=source, target=target, was_disabled=False, reason=None, phase=phase
    )


@pytest.mark.parametrize(
    ("found", "mapped_to", "turn"),
    [
        (None, "b", Turn.NOTHING),
        (None, "a", Turn.BEGIN),
        (move(Phase.FENCED), "a", Turn.GO_ON),
        (move(Phase.MOVED), "b", Turn.GO_ON),
        (move(Phase.COPIED, "b", "a"), "b", Turn.UNDO),
        (move(Phase.SWITCHED, "b", "a"), "a", Turn.UNDO),
        (move(Phase.MOVED, "b", "a"), "a", Turn.REVERSE),
    ],
)
def test_what_brings_a_host_to_b(found: HostMove | None, mapped_to: str, turn: Turn) -> None:
    assert plan_turn(found, mapped_to, "b", "h") is turn


def test_a_host_on_its_way_elsewhere_is_left_alone() -> None:
    with pytest.raises(errors.Conflict, match="move-host h --resume"):
        plan_turn(move(Phase.FENCED, "a", "c"), "a", "b", "h")


@pytest.mark.parametrize(
    ("hosts", "error", "text"),
    [
        ((), errors.Invalid, "name the hosts"),
        (("h1", "h1"), errors.Invalid, "h1 stands twice"),
        (("h9", "h1"), errors.NotFound, "h9: no host of cell a, which has h1, h2"),
        (("h1", "h2"), errors.Invalid, "without hosts"),
    ],
)
def test_hosts_that_cannot_leave(hosts: tuple[str, ...], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        check_hosts(hosts, ("h1", "h2"), "a")
    check_hosts(("h2",), ("h1", "h2"), "a")


def test_a_cell_that_got_others_since_is_not_taken_back() -> None:
    cell = replace(NEW, hosts=("h1", "h2"))
    check_no_others(("h1",), cell)
    with pytest.raises(errors.InUse, match="has got h3 since"):
        check_no_others(("h1", "h3"), cell)


class End(Exception):
    """What stands for the end of the process."""


class World:
    """A world with nothing but what adding a cell makes; it ends before its nth change."""

    def __init__(self) -> None:
        self.left = 10**9
        self.file: NewCell | None = None
        self.database = Holds()
        self.queue = False
        self.mapping: bool | None = None  #: whether it is enabled
        self.conductor = False
        self.hosts: list[str] = []
        self.unmapped: list[str] = []
        self.proved: list[str] = []
        self.fails = False
        self.by_hand = False

    def change(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise End

    # its file
    def find(self) -> NewCell | None:
        return self.file

    def write(self, cell: NewCell) -> None:
        self.change()
        self.file = cell

    def remove_file(self) -> None:
        self.change()
        self.file = None

    def migrate(self) -> None:
        self.change()
        self.database = Holds(there=True, tables=50)
        self.change()
        self.database = Holds(there=True, tables=100)

    def map_cell(self, _name: str) -> None:
        self.change()
        assert self.database.tables == 100
        assert self.queue
        self.mapping = False

    def discover(self, _uuid: str) -> None:
        self.change()
        self.unmapped = []

    def state(self) -> tuple[object, ...]:
        return self.file, self.database, self.queue, self.mapping, self.conductor


class Database:
    def __init__(self, world: World) -> None:
        self.world = world

    def read(self, _url: str) -> Holds:
        return self.world.database

    def ensure_database(self, _url: str, _from: str) -> None:
        self.world.change()
        assert self.world.database.tables == 0, "made anew, or not there"
        self.world.database = Holds(there=True)

    def drop(self, _url: str, _from: str) -> None:
        self.world.change()
        assert self.world.mapping is None
        self.world.database = Holds()


class Queue:
    def __init__(self, world: World) -> None:
        self.world = world

    def is_there(self, _url: str) -> bool:
        return self.world.queue

    is_any_there = is_there

    def ensure(self, _url: str) -> None:
        self.world.change()
        self.world.queue = True

    def drop(self, _url: str) -> None:
        self.world.change()
        self.world.queue = False


class Record:
    def __init__(self, world: World) -> None:
        self.find, self.write, self.remove = world.find, world.write, world.remove_file


class Conductors:
    def __init__(self, world: World) -> None:
        self.world = world
        self.by_hand = world.by_hand

    def start(self, _cell: NewCell) -> None:
        self.world.change()
        self.world.conductor = not self.by_hand

    def stop(self, _cell: NewCell) -> None:
        self.world.change()
        self.world.conductor = False


class Cells:
    def __init__(self, world: World) -> None:
        self.world = world

    def list_cells(self) -> tuple[CellAddress, ...]:
        own = () if self.world.mapping is None else (mapped(disabled=not self.world.mapping),)
        return (mapped(disabled=False, name="c1"), *own)

    def look(self, _cell: NewCell, state: AddState) -> AddState:
        world = self.world
        if world.mapping is None:
            return state
        return replace(
            state,
            mapped=mapped(disabled=not world.mapping),
            conductor=world.conductor,
            hosts=tuple(world.hosts),
            unmapped=tuple(world.unmapped),
        )

    def set_enabled(self, _uuid: str, *, enabled: bool) -> None:
        self.world.change()
        self.world.mapping = enabled

    def remove(self, _uuid: str) -> None:
        if self.world.hosts:
            raise errors.InUse("cell c2 has 1 host")
        self.world.change()
        self.world.mapping = None


class Canary:
    def __init__(self, world: World) -> None:
        self.world = world

    def prove(self, host: str) -> str:
        self.world.change()
        if self.world.fails:
            raise errors.StepFailed("the canary was not built")
        self.world.proved.append(host)
        return "built"


def impatient(condition: Callable[[], bool], sentence: str) -> None:
    if not condition():
        raise errors.Stale(sentence)


def open_adding(world: World, name: str = "c2") -> Adding:
    return Adding(
        wanted=Wanted(name=name),
        servers=SERVERS,
        file=FILE,
        record=Record(world),
        database=Database(world),
        queue=Queue(world),
        manage=world,
        conductors=Conductors(world),
        cells=Cells(world),
        make_password=lambda: "S3cret",
        patience=impatient,
        canary=Canary(world),
    )


def run(world: World) -> None:
    open_adding(world).run(lambda _: None)


def run_back(world: World) -> None:
    open_adding(world).roll_back()


def test_a_cell_is_added_and_taken_back() -> None:
    world = World()
    before = world.state()
    told: list[AddStep] = []
    open_adding(world).run(told.append)
    assert told == [one for one in AddStep if one not in {AddStep.HOSTS, AddStep.CANARY}]
    assert (world.mapping, world.conductor, world.queue) == (True, True, True)
    told.clear()
    world.hosts = world.unmapped = ["h1"]
    open_adding(world).run(told.append)
    assert told == [AddStep.HOSTS, AddStep.CANARY]
    assert world.proved == ["h1"]
    with pytest.raises(errors.InUse):
        run_back(world)
    assert (world.mapping, world.conductor, world.queue) == (True, True, True)
    world.hosts = []
    run_back(world)
    assert world.state() == before
    with pytest.raises(errors.NotFound, match="was not added"):
        run_back(world)


@pytest.mark.parametrize("back", [False, True])
def test_wherever_it_ends_it_goes_on_or_is_taken_back(back: bool) -> None:
    whole = World()
    run(whole)
    for number in range(12):
        world = World()
        world.left = number
        try:
            run(world)
        except End:
            assert number < 8, number
        world.left = 10**9
        if back and world.file is not None:
            run_back(world)
            assert world.state() == World().state()
        else:
            run(world)
            assert world.state() == whole.state()


def test_wherever_taking_back_ends_it_is_taken_back() -> None:
    for number in range(5):
        world = World()
        run(world)
        world.left = number
        with pytest.raises(End):
            run_back(world)
        world.left = 10**9
        run_back(world)
        assert world.state() == World().state()


def test_a_canary_that_dies_closes_the_cell() -> None:
    world = World()
    world.hosts = ["h1"]
    world.fails = True
    with pytest.raises(errors.StepFailed, match="canary"):
        run(world)
    assert world.mapping is False
    world.fails = False
    run(world)
    assert (world.mapping, world.proved) == (True, ["h1"])


def test_a_conductor_that_a_person_starts_is_waited_for() -> None:
    world = World()
    world.by_hand = True
    with pytest.raises(errors.Stale, match=r"--config-file /etc/nova/cell-c2\.conf"):
        run(world)
    assert world.mapping is False
    world.conductor = True
    run(world)
    assert world.mapping is True


def test_a_step_that_changes_nothing_ends_it() -> None:
    """Such as a host that nova-manage takes for mapped, though no mapping leads there."""
    world = World()
    run(world)
    world.hosts = ["h1"]

    def discover(_uuid: str) -> None:
        world.change()

    world.unmapped = ["h1"]
    world.discover = discover  # type: ignore[method-assign]
    with pytest.raises(errors.StepFailed, match="step hosts of cell c2 was done and is not"):
        run(world)


def test_a_file_of_another_cell_is_not_taken_for_ones_own() -> None:
    world = World()
    run(world)
    with pytest.raises(errors.Conflict, match="is of cell c2"):
        open_adding(world, "c3").look()
    with pytest.raises(errors.NotFound, match="cell c3 was not added"):
        open_adding(world, "c3").roll_back()
