"""Which ports of servers reach which: all pairs of a dump, asked once for those that are alike."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isthmus import errors
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.dump.form import Dump
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.judge import judge_as_seen
from isthmus.diagnose.question import PING, Service
from isthmus.diagnose.sweep.alike import group_alike
from isthmus.diagnose.sweep.plan import plan_questions
from isthmus.diagnose.world import Source
from isthmus.model.site import CENTRAL

#: Ports at most; of more it is said that a network has to be chosen.
MOST_PORTS = 2000
#: Questions that a process takes at once.
_CHUNK = 32
_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of all pairs of ports of which one is of a group and one of another."""

    word: str
    code: str = ""  #: of what is wrong, the cause first; or why it was not asked
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The answers for all pairs."""

    groups: tuple[tuple[str, ...], ...]  #: ports that are alike
    answers: dict[tuple[int, int], Answer]  #: by the groups of who begins and who is reached

    def find(self, source: str, target: str) -> Answer:
        """Return what is said of a pair of ports."""
        at = {port: number for number, group in enumerate(self.groups) for port in group}
        return self.answers[at[source], at[target]]

    def count(self) -> Counter[str]:
        """Count the pairs by verdict."""
        found = Counter[str]()
        for (one, other), answer in self.answers.items():
            found[answer.word] += self.size(one, other)
        return found

    def size(self, one: int, other: int) -> int:
        """Return how many pairs there are of two groups."""
        mine = len(self.groups[one])
        return mine * (mine - 1) if one == other else mine * len(self.groups[other])


def list_ports(dump: Dump, networks: Sequence[str] = ()) -> list[str]:
    """List the ports of servers that run, of some networks or of all.

    Raises:
        Invalid: there are more than `MOST_PORTS`.
    """
    found = [
        one.id for one in plan_questions(dump).guests
        if not networks or one.network_id in networks
    ]  # fmt: skip
    if len(found) > MOST_PORTS:
        raise errors.Invalid(
            f"{len(found)} ports are more than the {MOST_PORTS} whose pairs are asked for: say of "
            "which networks with --network"
        )
    return found


def find_networks(dump: Dump, asked: Sequence[str]) -> list[str]:
    """Find networks by id or name.

    Raises:
        NotFound: there is none of a name in the dump.
    """
    rows = dump.tables.get((Source.CENTRAL, CENTRAL), {}).get("network", ())
    found: list[str] = []
    for one in asked:
        mine = [str(row["id"]) for row in rows if one in (row["id"], row.get("name"))]
        if not mine:
            raise errors.NotFound(f"there is no network {one!r} that you may see")
        found += mine
    return found


def ask_pairs(dump: Dump, ports: Sequence[str], service: Service = PING, workers: int = 1) -> Pairs:
    """Ask for all pairs of ports, both ways.

    Args:
        dump: all that was seen.
        ports: ids of ports of servers.
        service: that is asked for.
        workers: processes that ask.
    """
    groups = group_alike(dump, ports)
    asked = [*_list_questions(groups)]
    asker = _Asker(dump, service)
    if workers > 1 and len(asked) > _CHUNK:
        # A process that is forked has the dump; nothing of it is sent.
        context = multiprocessing.get_context("fork")
        with context.Pool(workers, _start, (asker,)) as pool:
            found = pool.map(_ask, asked, _CHUNK)
    else:
        found = [asker.ask(one) for one in asked]
    answers = {key: answer for (key, _, _), answer in zip(asked, found, strict=True)}
    return Pairs(groups=tuple(map(tuple, groups)), answers=answers)


Question = tuple[tuple[int, int], str, str]


def _list_questions(groups: Sequence[Sequence[str]]) -> Iterator[Question]:
    """Yield one pair of each two groups, and one within each."""
    for one, here in enumerate(groups):
        for other, there in enumerate(groups):
            if one != other:
                yield (one, other), here[0], there[0]
            elif len(here) > 1:
                yield (one, one), here[0], here[1]


class _Asker:
    """Asks a dump."""

    def __init__(self, dump: Dump, service: Service) -> None:
        self._ways, self._service = Recorded(dump), service

    def ask(self, question: Question) -> Answer:
        _, source, target = question
        try:
            scene = collect_scene(
                self._ways, source, target, timeout_s=_TIMEOUT_S, now=self._ways.now,
                service=self._service,
            )  # fmt: skip
        except errors.IsthmusError as error:
            return Answer("not asked", message=error.message)
        found = judge_as_seen(scene.world, scene.source, scene.target, self._service, scene.family)
        first = found.blockers[0].verdict if found.blockers else None
        if first is None:
            return Answer(found.word.value)
        return Answer(found.word.value, first.code, first.message)


#: The one of this process.
_held: list[_Asker] = []


def _start(asker: _Asker) -> None:
    _held.append(asker)


def _ask(question: Question) -> Answer:
    return _held[-1].ask(question)
