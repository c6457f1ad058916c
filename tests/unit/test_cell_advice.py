"""Stay, add or split: the rule by a table of cases, and by a model that is loaded ever more."""

from dataclasses import replace

import pytest

from isthmus.cells.advice.advise import Rule, advise, find_shared
from isthmus.clients.compute.rabbitmq import find_management
from isthmus.model.compute.adding import CellServers
from isthmus.model.compute.load import CellLoad, DatabaseLoad, QueueLoad, Step

MIB = 2**20
DATABASE = DatabaseLoad(
    server="db1",
    connections=100,
    most_connections=1000,
    running=1.0,
    questions_s=200.0,
    lock_wait=0.0,
    answer_ms=1.0,
)
QUEUE = QueueLoad(
    server="mq1",
    memory=200 * MIB,
    most_memory=4000 * MIB,
    files=100,
    most_files=1000,
    alarms=(),
    waiting=0,
    waiting_before=0,
    messages_s=50.0,
)
LOAD = CellLoad(cell="c1", hosts=100, servers=2000, database=DATABASE, queue=QUEUE, report_age=0.2)
ANY = Rule()


def loaded(**more: object) -> CellLoad:
    database = {key: value for key, value in more.items() if hasattr(DATABASE, key)}
    queue = {key: value for key, value in more.items() if hasattr(QUEUE, key)}
    rest = {key: value for key, value in more.items() if hasattr(LOAD, key)}
    return replace(
        LOAD,
        database=replace(DATABASE, **database),  # type: ignore[arg-type]
        queue=replace(QUEUE, **queue),  # type: ignore[arg-type]
        **rest,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("load", "rule", "step", "words"),
    [
        (LOAD, ANY, Step.STAY, "room for about 200 more hosts"),
        (loaded(connections=599), ANY, Step.STAY, "connections of the database, 599 of 1000"),
        (loaded(connections=600), ANY, Step.ADD, "next hosts into another cell, or raise max_co"),
        (loaded(connections=850), ANY, Step.SPLIT, "connections of the database, 850 of 1000 (85%"),
        # What one host has cannot be parted.
        (loaded(connections=990, hosts=1), ANY, Step.ADD, "next hosts into another cell"),
        (loaded(answer_ms=70.0), ANY, Step.ADD, "answer of the database, 70 of 100 ms"),
        (loaded(answer_ms=900.0), ANY, Step.SPLIT, "(900%)"),
        (loaded(lock_wait=1.9), ANY, Step.SPLIT, "sessions that wait for rows"),
        (loaded(memory=3500 * MIB), ANY, Step.SPLIT, "memory of RabbitMQ, 3500 of 4000 MiB"),
        (loaded(files=700), ANY, Step.ADD, "raise the limit of open files"),
        (loaded(alarms=("memory of rabbit@mq1",)), ANY, Step.SPLIT, "alarms of RabbitMQ: 1"),
        # A backlog that is worked off is none.
        (loaded(waiting=9000, waiting_before=9500), ANY, Step.STAY, "room for"),
        (loaded(waiting=9500, waiting_before=9000), ANY, Step.SPLIT, "nova-conductor more workers"),
        (loaded(waiting=40, waiting_before=0), ANY, Step.STAY, "room for"),
        (loaded(report_age=0.7), ANY, Step.ADD, "lateness of hosts' reports"),
        (loaded(report_age=0.95), ANY, Step.SPLIT, "lateness of hosts' reports"),
        # Failure isolation is a demand, and a reason of its own.
        (LOAD, Rule(most_hosts=1000), Step.STAY, ""),
        (LOAD, Rule(most_hosts=150), Step.ADD, "hosts lost at once, 100 of 150"),
        (LOAD, Rule(most_hosts=100), Step.SPLIT, "hosts lost at once, 100 of 100"),
        (loaded(hosts=0, servers=0, report_age=None), ANY, Step.STAY, "the nearest limit is"),
        (replace(LOAD, queue=None, why=("no answer",)), ANY, Step.UNKNOWN, "no answer"),
        (replace(LOAD, database=None, queue=None, report_age=None), ANY, Step.UNKNOWN, "nothing"),
        # What is known to be full is full, whatever else was not measured.
        (replace(loaded(connections=900), queue=None), ANY, Step.SPLIT, "900 of 1000"),
    ],
)
def test_what_is_advised(load: CellLoad, rule: Rule, step: Step, words: str) -> None:
    (found,) = advise([load], rule)
    assert (found.step, words in found.why) == (step, True), found.why


def test_cells_on_one_server_share_its_limits() -> None:
    other = replace(LOAD, cell="c2", queue=replace(QUEUE, server="mq2"))
    alone = replace(
        LOAD,
        cell="c3",
        database=replace(DATABASE, server="db3"),
        queue=replace(QUEUE, server="mq3"),
    )
    loads = [loaded(connections=900), other, alone]
    assert find_shared(loads) == {"c1": ("c2",), "c2": ("c1",), "c3": ()}
    full, _, free = advise(loads, ANY)
    assert full.shared_with == ("c2",)
    assert full.why.endswith("on servers of its own, or it changes nothing")
    assert "of its own" not in free.why
    # Whom it is wanted for that fewer hosts are lost: that is no matter of a server's limits.
    (lost, *_) = advise([LOAD, other], Rule(most_hosts=100))
    assert "servers of its own" not in lost.why


class Model:
    """A cell with more and more hosts: connections and messages in proportion, queues as M/M/1."""

    def __init__(
        self, *, connections: int, memory_mib: int, database_s: float, conductors: int
    ) -> None:
        self.connections = connections
        self.memory_mib = memory_mib
        self.database_s = database_s
        self.conductors = conductors

    def measure(self, hosts: int) -> CellLoad:
        """Return what is measured with so many hosts, each with its periodic calls."""
        calls_s = hosts * (1 / 10 + 6 / 60 + 1 / 60)  # reports, resources, one server's cache
        busy = min(calls_s * self.database_s, 0.999)
        taken_s = self.conductors * 40.0
        backlog = int(max(calls_s - taken_s, 0) * 60)
        return loaded(
            hosts=hosts,
            connections=20 + 4 * hosts,
            most_connections=self.connections,
            answer_ms=self.database_s * 1000 / (1 - busy),
            memory=(100 + hosts) * MIB,
            most_memory=self.memory_mib * MIB,
            files=50 + hosts,
            most_files=65536,
            waiting=backlog,
            report_age=min(0.15 + (0.8 if backlog else 0), 1.0),
        )


MODELS = {
    "connections of the database": Model(
        connections=2000, memory_mib=9000, database_s=0.0005, conductors=50
    ),
    "memory of RabbitMQ": Model(
        connections=90_000, memory_mib=1500, database_s=0.0005, conductors=50
    ),
    "answer of the database": Model(
        connections=90_000, memory_mib=90_000, database_s=0.01, conductors=50
    ),
    "messages that nobody takes": Model(
        connections=90_000, memory_mib=90_000, database_s=0.0005, conductors=2
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_loaded_until_it_has_to_be_split(name: str) -> None:
    """The more hosts, the more is advised; what binds is named, and never when it is too late."""
    order = [Step.STAY, Step.ADD, Step.SPLIT]
    before, found = 0, {}
    for hosts in range(2, 3000):
        (one,) = advise([MODELS[name].measure(hosts)], ANY)
        now = order.index(one.step)
        assert now >= before, (hosts, one.why)
        if now > before:
            found[one.step] = (hosts, one)
        before = now
    assert Step.SPLIT in found
    hosts, last = found[Step.SPLIT]
    assert name in last.why or "lateness" in last.why
    assert hosts > 100


@pytest.mark.parametrize("name", ["connections of the database", "memory of RabbitMQ"])
def test_the_room_that_is_said_is_there_and_not_much_more(name: str) -> None:
    model = MODELS[name]
    for hosts in (50, 100, 200, 290):
        (now,) = advise([model.measure(hosts)], ANY)
        assert now.step is Step.STAY
        assert now.most_hosts is not None
        (then,) = advise([model.measure(now.most_hosts)], ANY)
        assert then.step is Step.STAY, (hosts, now.most_hosts, then.why)
    assert now.most_hosts is not None
    (close,) = advise([model.measure(int(now.most_hosts * 1.4))], ANY)
    assert close.step is not Step.STAY


def test_the_management_is_that_of_the_rabbitmq_of_the_cell() -> None:
    servers = [
        CellServers(database="", queue="mq1:5672, mq2:5672", management="http://one"),
        CellServers(database="", queue="mq3:5672", management="http://two"),
    ]
    assert find_management("rabbit://a:b@mq2:5672,a:b@mq9:5672/v", servers) == "http://one"
    assert find_management("rabbit://a:b@mq3:5672/", servers) == "http://two"
    assert find_management("rabbit://a:b@mq3:5673/", servers) is None
    assert find_management("none:///", servers) is None
