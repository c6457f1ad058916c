"""How often two faults at once are both named: pairs that are drawn from a seed."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.tables import test_diagnose as plain
from tests.tables.routed_faults import CASES, SERVICES
from tests.tables.routed_world import ask_routed, routed
from tests.tables.test_diagnose import Break
from tests.tables.world import Tables, ask, healthy


@dataclass(slots=True)
class Rate:
    """What came of some pairs."""

    asked: int = 0
    named: int = 0  #: pairs of which both codes are told
    first: int = 0  #: pairs of which one of both is told first
    excluded: int = 0  #: pairs that cannot be at once: they write the same cell, or one the row
    #: that the other takes away
    lacks: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def both(self) -> float:
        """Return the share of pairs of which both are told."""
        return self.named / self.asked

    @property
    def leads(self) -> float:
        """Return the share of pairs of which one is told first."""
        return self.first / self.asked


class ExclusiveError(Exception):
    """Two faults cannot be at once: which one is there depends on which came last."""


def _break(build: Callable[[], Tables], one: Break, other: Break) -> Tables:
    """Return a world with two faults, in whichever order they came."""
    tables, turned = build(), build()
    for world, changes in ((tables, (one, other)), (turned, (other, one))):
        for change in changes:
            change(world)
    if _sorted(tables) != _sorted(turned):
        raise ExclusiveError
    return tables


def _sorted(tables: Tables) -> str:
    return repr([
        (place, name, sorted(map(repr, rows)))
        for place, found in tables.items() for name, rows in sorted(found.items())
    ])  # fmt: skip


def _ask_plain(one: str, other: str) -> list[str]:
    faults = {**plain.BLOCKED, **plain.DEGRADED}
    tables = _break(healthy, faults[one], faults[other])
    return [found.verdict.code for found in ask(tables).blockers]


def _ask_routed(one: str, other: str) -> list[str]:
    change, question = CASES[one]
    tables = _break(routed, change, CASES[other][0])
    found = ask_routed(tables, *question, SERVICES.get(one, "tcp/443"))
    return [each.verdict.code for each in found.blockers]


def _draw_plain(dice: random.Random) -> tuple[str, str]:
    one, other = dice.sample(sorted({*plain.BLOCKED, *plain.DEGRADED}), 2)
    return one, other


def _draw_routed(dice: random.Random) -> tuple[str, str]:
    """Draw two that the same question meets."""
    one = dice.choice(sorted(CASES))
    service = SERVICES.get(one)
    same = sorted(
        code for code, (_, question) in CASES.items()
        if question == CASES[one][1] and SERVICES.get(code) == service and code != one
    )  # fmt: skip
    return (one, dice.choice(same)) if same else _draw_routed(dice)


Draw = Callable[[random.Random], tuple[str, str]]
Ask = Callable[[str, str], list[str]]
#: Worlds, how pairs of their faults are drawn, and how they are asked for.
WORLDS: dict[str, tuple[Draw, Ask]] = {
    "on one network": (_draw_plain, _ask_plain),
    "through routers": (_draw_routed, _ask_routed),
}


def count_pairs(world: str, seed: int, pairs: int) -> Rate:
    """Ask for pairs of faults.

    Args:
        world: of `WORLDS`.
        seed: of the draw.
        pairs: how many.
    """
    draw, question = WORLDS[world]
    dice, rate = random.Random(seed), Rate()
    while rate.asked < pairs:
        one, other = draw(dice)
        try:
            codes = question(one, other)
        except (ExclusiveError, AssertionError, LookupError, StopIteration, ValueError):
            rate.excluded += 1
            continue
        rate.asked += 1
        rate.named += {one, other} <= set(codes)
        rate.first += codes[:1] in ([one], [other])
        for code in {one, other} - set(codes):
            rate.lacks[code, other if code == one else one] += 1
    return rate
