"""How often two faults at once are both named: pairs that are drawn from a seed."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.tables import test_diagnose as plain
from tests.tables.routed_faults import CASES, SERVICES
from tests.tables.routed_world import ask_routed, routed
from tests.tables.world import ask, healthy


@dataclass(slots=True)
class Rate:
    """What came of some pairs."""

    asked: int = 0
    named: int = 0  #: pairs of which both codes are told
    first: int = 0  #: pairs of which one of both is told first
    excluded: int = 0  #: pairs that cannot be at once: the second finds nothing left to break
    lacks: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def both(self) -> float:
        """Return the share of pairs of which both are told."""
        return self.named / self.asked

    @property
    def leads(self) -> float:
        """Return the share of pairs of which one is told first."""
        return self.first / self.asked


def _ask_plain(one: str, other: str) -> list[str]:
    faults = {**plain.BLOCKED, **plain.DEGRADED}
    tables = healthy()
    faults[one](tables)
    faults[other](tables)
    return [found.verdict.code for found in ask(tables).blockers]


def _ask_routed(one: str, other: str) -> list[str]:
    tables, (change, question) = routed(), CASES[one]
    change(tables)
    CASES[other][0](tables)
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
        except (AssertionError, KeyError, IndexError, StopIteration, ValueError):
            rate.excluded += 1
            continue
        rate.asked += 1
        rate.named += {one, other} <= set(codes)
        rate.first += codes[:1] in ([one], [other])
        for code in {one, other} - set(codes):
            rate.lacks[code, other if code == one else one] += 1
    return rate
