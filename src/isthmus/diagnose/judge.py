"""From what was seen to a verdict: every check on both ways, all findings ranked. Pure."""

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from isthmus.diagnose.check.look import MIRROR, Check, Hop, Look
from isthmus.diagnose.checks import CHECKS
from isthmus.diagnose.question import Direction, End, Service, Way, plan_ways
from isthmus.diagnose.route.assume import Assumed, assume
from isthmus.diagnose.route.fabric import Fabric
from isthmus.diagnose.route.legs import Legs, plan_legs
from isthmus.diagnose.world import TableNotSeenError, Unseen, World
from isthmus.model.verdict import Answer, Report, Ruling, Severity, Verdict


class Word(enum.StrEnum):
    """The verdict in one word."""

    REACHABLE = "reachable"  #: nothing that was seen stops or hinders the packet, either way
    BLOCKED = "blocked"  #: something stops it
    DEGRADED = "degraded"  #: it passes; something hinders it, or will
    UNDETERMINED = "undetermined"  #: what is needed to tell was not seen


@dataclass(frozen=True, slots=True)
class Blocker:
    """One finding, and where on which ways it stands."""

    verdict: Verdict
    hops: tuple[tuple[Direction, Hop], ...]
    behind: bool = False  #: found where the way was followed on behind what ends it


Key = tuple[str, object]  #: code and subject


class State(enum.StrEnum):
    """How one hop was found."""

    PASSES = "passes"
    STOPS = "stops"
    HINDERS = "hinders"
    NOT_SEEN = "not looked at"
    NOT_APPLICABLE = "not on this way"


#: From what is well to what is not.
_BADNESS = (State.NOT_APPLICABLE, State.PASSES, State.NOT_SEEN, State.HINDERS, State.STOPS)


@dataclass(frozen=True, slots=True)
class Step:
    """One hop of one way."""

    direction: Direction
    hop: Hop
    state: State
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The answer to one question."""

    word: Word
    ways: tuple[Way, Way]
    legs: tuple[Legs, Legs]  #: of both ways
    service: Service
    path: tuple[Step, ...]
    blockers: tuple[Blocker, ...]  #: the cause first
    report: Report
    vital: tuple[bool, ...]  #: of each ruling of the report: whether it settles the whole
    unseen: tuple[Unseen, ...]
    world: World


#: How often a way is followed on behind what ends it.
_MOST_ENDS = 6


def judge(
    world: World,
    source: End,
    target: End,
    service: Service,
    family: int,
    checks: Sequence[Check] = CHECKS,
) -> Diagnosis:
    """Decide whether packets pass between two ends, and all that stops them.

    Where a way ends before it is there, it is followed on as if that were repaired: what is found
    behind comes last.

    Args:
        world: all that was seen.
        source: who begins.
        target: who is to be reached.
        service: what behind it.
        family: IP version, 4 or 6.
        checks: in the order in which causes explain others.
    """
    found = judge_as_seen(world, source, target, service, family, checks)
    if found.word is not Word.BLOCKED:
        return found
    behind: dict[Key, Blocker] = {}
    then, follows = found, list[Assumed]()
    for _ in range(_MOST_ENDS):
        world, assumed = assume(then.world, then.legs)
        if not assumed.changed:
            break
        follows.append(assumed)
        target = _refresh(world, target)
        then = judge_as_seen(world, source, target, service, family, checks)
        for one in then.blockers:
            if one.verdict.severity is not Severity.UNKNOWN and not any(
                each.is_own(one.verdict) for each in follows
            ):
                behind.setdefault(_key(one), replace(one, behind=True))
    known = {_key(one) for one in found.blockers}
    return _with_more(found, [one for key, one in behind.items() if key not in known])


def _key(one: Blocker) -> Key:
    return one.verdict.code, one.verdict.subject


def _refresh(world: World, target: End) -> End:
    """Return the receiver with its floating IP as it is assumed to be."""
    if target.floating is None:
        return target
    return replace(target, floating=Fabric(world).floating(target.floating["id"]))


def _with_more(found: Diagnosis, behind: Sequence[Blocker]) -> Diagnosis:
    """Return a diagnosis with what was found behind what ends its ways: it stops there as well."""
    blockers = (*found.blockers, *behind)
    path = []
    for step in found.path:
        here = [one for one in behind if (step.direction, step.hop) in one.hops]
        codes = tuple(dict.fromkeys((*step.codes, *(one.verdict.code for one in here))))
        state = _state([one.verdict for one in here], ()) if here else step.state
        path.append(replace(step, codes=codes, state=max(step.state, state, key=_BADNESS.index)))
    findings = tuple(one.verdict for one in blockers)
    report = replace(found.report, findings=findings)
    return replace(found, blockers=blockers, path=tuple(path), report=report)


def judge_as_seen(
    world: World,
    source: End,
    target: End,
    service: Service,
    family: int,
    checks: Sequence[Check] = CHECKS,
) -> Diagnosis:
    """Decide over the rows as they are: behind where a way ends, nothing is looked at.

    Args:
        world: all that was seen.
        source: who begins.
        target: who is to be reached.
        service: what behind it.
        family: IP version, 4 or 6.
        checks: in the order in which causes explain others.
    """
    ways = plan_ways(source, target, service, family)
    legs = plan_legs(world, source, target, service, family)
    found: dict[tuple[str, object], tuple[int, Blocker]] = {}
    rulings: list[tuple[Look, Check, Ruling]] = []
    looks = _list_looks(world, legs, service)
    groups = [check.group or check.name for check in checks]
    for check in checks:
        rank = groups.index(check.group or check.name)
        for look in looks:
            ruling, verdicts = run_check(check, look)
            rulings.append((look, check, ruling))
            for verdict in verdicts:
                hops = _list_hops(look.place(check.hop), look.way.direction)
                _add(found, rank, verdict, hops)
    ranked = sorted(found.values(), key=_rank)
    blockers = tuple(one for _, one in ranked)
    vital = [ruling for _, check, ruling in rulings if check.vital]
    return Diagnosis(
        word=_decide(blockers, vital),
        ways=ways,
        legs=legs,
        service=service,
        path=tuple(_walk(blockers, rulings)),
        blockers=blockers,
        report=Report(
            findings=tuple(one.verdict for one in blockers),
            rulings=tuple(ruling for _, _, ruling in rulings),
        ),
        vital=tuple(check.vital for _, check, _ in rulings),
        unseen=world.unseen,
        world=world,
    )


def _list_looks(world: World, legs: tuple[Legs, Legs], service: Service) -> list[Look]:
    """List the legs of both ways, each with that of the request that it answers."""
    there, back = legs
    asked = {leg.packet: leg for leg in there}
    return [
        Look(world, leg, leg if leg.answers is None else asked[leg.answers], service)
        for leg in (*there, *back)
    ]


def run_check(check: Check, look: Look) -> tuple[Ruling, list[Verdict]]:
    """Run one check; one that fails, or lacks what it needs, has not seen."""
    name = f"{check.name} ({look.way.direction})"
    if why := check.skips(look):
        return Ruling(check=name, answer=Answer.NOT_APPLICABLE, why=why), []
    for need in check.needs:
        source, place = look.locate(need)
        if not look.world.has(source, place):
            reason = look.world.why_not(source, place)
            why = f"{source} {place}: {reason}"
            return Ruling(check=name, answer=Answer.NOT_SEEN, why=why), []
    try:
        verdicts = list(check.run(look))
    except TableNotSeenError as missing:
        return Ruling(check=name, answer=Answer.NOT_SEEN, why=str(missing)), []
    except Exception as error:  # noqa: BLE001 - one of the four places that may
        why = f"the check failed: {type(error).__name__}: {error}"
        return Ruling(check=name, answer=Answer.NOT_SEEN, why=why, detail="failed"), []
    return Ruling(check=name, answer=Answer.FOUND if verdicts else Answer.FINE), verdicts


def _list_hops(hop: Hop, direction: Direction) -> tuple[tuple[Direction, Hop], ...]:
    """Return where a finding stands: what is wrong with an end, on both ways."""
    if hop not in MIRROR:
        return ((direction, hop),)
    other = Direction.BACK if direction is Direction.THERE else Direction.THERE
    return ((direction, hop), (other, MIRROR[hop]))


def _add(
    found: dict[tuple[str, object], tuple[int, Blocker]],
    rank: int,
    verdict: Verdict,
    hops: tuple[tuple[Direction, Hop], ...],
) -> None:
    """Add a finding; the same one of the other way adds its hops only."""
    key = (verdict.code, verdict.subject)
    if key not in found:
        found[key] = (rank, Blocker(verdict, hops))
        return
    first_rank, known = found[key]
    merged = tuple(dict.fromkeys((*known.hops, *hops)))
    found[key] = (first_rank, Blocker(known.verdict, merged))


def _rank(one: tuple[int, Blocker]) -> tuple[int, int, int]:
    """Rank the worst first, then by the order of checks; there before back within a group.

    Of one check, what it tells first comes first.
    """
    rank, blocker = one
    severity = list(Severity).index(blocker.verdict.severity)
    direction = list(Direction).index(blocker.hops[0][0])
    return (severity, rank, direction)


def _decide(blockers: Iterable[Blocker], vital: Iterable[Ruling]) -> Word:
    severities = {one.verdict.severity for one in blockers}
    if Severity.BROKEN in severities:
        return Word.BLOCKED
    if Severity.UNKNOWN in severities or any(one.answer is Answer.NOT_SEEN for one in vital):
        return Word.UNDETERMINED
    return Word.DEGRADED if Severity.DEGRADED in severities else Word.REACHABLE


def _walk(
    blockers: Sequence[Blocker], rulings: Sequence[tuple[Look, Check, Ruling]]
) -> Iterator[Step]:
    answers: dict[tuple[Direction, Hop], list[Answer]] = {}
    for look, check, ruling in rulings:
        for at in _list_hops(look.place(check.hop), look.way.direction):
            answers.setdefault(at, []).append(ruling.answer)
    for direction in Direction:
        for hop in Hop:
            at = (direction, hop)
            here = [one.verdict for one in blockers if at in one.hops]
            state = _state(here, answers.get(at, ()))
            yield Step(direction, hop, state, tuple(x.code for x in here))


def _state(here: Sequence[Verdict], answers: Sequence[Answer]) -> State:
    severities = {one.severity for one in here}
    if Severity.BROKEN in severities:
        return State.STOPS
    if severities & {Severity.DEGRADED, Severity.UNKNOWN}:
        return State.HINDERS if Severity.DEGRADED in severities else State.NOT_SEEN
    if Answer.FINE in answers:
        return State.NOT_SEEN if Answer.NOT_SEEN in answers else State.PASSES
    return State.NOT_SEEN if Answer.NOT_SEEN in answers else State.NOT_APPLICABLE
