"""All questions of a sweep, asked of a dump, and their findings merged."""

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from isthmus import errors
from isthmus.diagnose.collect.world import collect_scene
from isthmus.diagnose.dump.form import Dump, Missing
from isthmus.diagnose.dump.recorded import Recorded
from isthmus.diagnose.judge import judge
from isthmus.diagnose.sweep.plan import Plan, Question, plan_questions
from isthmus.diagnose.sweep.sites import look_at_sites
from isthmus.diagnose.sweep.wanted import select_findings, tell_off, weigh
from isthmus.diagnose.world import Source
from isthmus.model.site import CENTRAL, SiteState
from isthmus.model.verdict import Answer, Ruling, Severity, Verdict, is_clean

#: A dump answers at once; only a machine that stands still needs so long, in seconds.
_TIMEOUT_S = 3600.0


class Word(enum.StrEnum):
    """The health of all sites in one word."""

    HEALTHY = "healthy"
    BROKEN = "broken"
    DEGRADED = "degraded"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, met by some questions."""

    verdict: Verdict
    questions: tuple[Question, ...] = ()  #: empty where it was found without one
    position: int = 0  #: the best place that it had among the blockers of a question

    @property
    def key(self) -> tuple[str, object]:
        """Return what makes it the same as another one."""
        return (self.verdict.code, self.verdict.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a sweep came to."""

    at: str
    findings: tuple[Finding, ...]  #: the worst first
    plan: Plan
    sites: int
    hypervisors: int
    missing: tuple[Missing, ...]  #: what could not be read
    not_seen: tuple[str, ...]  #: what checks lacked, each once
    not_asked: tuple[tuple[Question, str], ...]  #: questions that were refused, and why
    is_whole: bool  #: whether all was seen without which nothing can be said of the whole

    @property
    def word(self) -> Word:
        """Return the verdict."""
        severities = {one.verdict.severity for one in self.findings}
        if Severity.BROKEN in severities:
            return Word.BROKEN
        if Severity.UNKNOWN in severities or not self.is_whole:
            return Word.UNDETERMINED
        return Word.DEGRADED if Severity.DEGRADED in severities else Word.HEALTHY


@dataclass(slots=True)
class _Merged:
    """Findings by code and subject, and what was not seen."""

    found: dict[tuple[str, object], tuple[Verdict, list[Question], list[int]]] = field(
        default_factory=dict
    )
    not_seen: dict[str, None] = field(default_factory=dict)
    lacks: bool = False

    def add(self, found: Verdict, question: Question | None = None, position: int = 0) -> None:
        told = weigh(found)
        if told is None:
            return
        _, questions, positions = self.found.setdefault((told.code, told.subject), (told, [], []))
        questions += [question] if question else []
        positions.append(position)

    def rank(self) -> tuple[Finding, ...]:
        findings = (
            Finding(told, tuple(dict.fromkeys(questions)), min(positions))
            for told, questions, positions in self.found.values()
        )
        return tuple(sorted(findings, key=_rank))

    def note(self, rulings: Iterable[tuple[Ruling, bool]]) -> None:
        for ruling, vital in rulings:
            if ruling.answer is Answer.NOT_SEEN:
                self.not_seen.setdefault(ruling.why)
                self.lacks |= vital or ruling.detail == "failed"


def examine(dump: Dump) -> Health:
    """Ask all questions of a sweep of a dump, and merge what is found by code and subject."""
    ways, plan, merged = Recorded(dump), plan_questions(dump), _Merged()
    hypervisors = 0
    for look in look_at_sites(ways, dump):
        hypervisors += bool(look.end.host)
        merged.note(look.rulings)
        for verdict in look.verdicts:
            merged.add(verdict)
    for verdict in _list_off(plan, dump.at):
        merged.add(verdict)
    not_asked: list[tuple[Question, str]] = []
    for question in plan.questions:
        try:
            _ask(ways, question, merged)
        except errors.IsthmusError as error:
            not_asked.append((question, error.message))
    return Health(
        at=dump.at,
        findings=merged.rank(),
        plan=plan,
        sites=len(dump.tables.get((Source.CENTRAL, CENTRAL), {}).get("site", ())),
        hypervisors=hypervisors,
        missing=tuple(dump.missing),
        not_seen=tuple(merged.not_seen),
        not_asked=tuple(not_asked),
        is_whole=not (merged.lacks or not_asked or any(_is_vital(dump, x) for x in dump.missing)),
    )


def _ask(ways: Recorded, question: Question, merged: _Merged) -> None:
    scene = collect_scene(
        ways,
        question.source,
        question.target,
        timeout_s=_TIMEOUT_S,
        now=ways.now,
        service=question.service,
    )
    found = judge(scene.world, scene.source, scene.target, question.service, scene.family)
    merged.note(zip(found.report.rulings, found.vital, strict=True))
    for position, verdict in enumerate(select_findings(found.blockers)):
        merged.add(verdict, question, position)


def examine_lasting(read: Callable[[], Dump]) -> Health:
    """Examine what is read, and once more if something is found: what changes is no fault.

    Tiers are read one after the other while people work. What two readings have is told.

    Args:
        read: makes a dump of all that there is now.
    """
    first = examine(read())
    if is_clean(one.verdict for one in first.findings):
        return first
    return keep_common(examine(read()), first)


@dataclass(frozen=True, slots=True)
class Change:
    """What has become different since the last time that something was told."""

    health: Health
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]
    was: Word


class Watch:
    """Tells what changes from one sweep to the next: what two readings in a row agree on."""

    def __init__(self, first: Health) -> None:
        """Begin with what was told already."""
        self._told = {one.key: one for one in first.findings}
        self._before, self._word = first, first.word

    def take(self, now: Health) -> Change | None:
        """Take the next sweep; return what has changed, None where nothing has."""
        found, before = ({one.key: one for one in x.findings} for x in (now, self._before))
        standing = keep_common(now, self._before)
        is_whole = now.is_whole or self._before.is_whole
        self._before = now
        new = tuple(one for one in standing.findings if one.key not in self._told)
        gone = tuple(
            one for key, one in self._told.items() if key not in found and key not in before
        )
        kept = {key: found.get(key, one) for key, one in self._told.items() if one not in gone}
        self._told = kept | {one.key: one for one in new}
        told = tuple(sorted(self._told.values(), key=_rank))
        standing = replace(now, findings=told, is_whole=is_whole)
        was, self._word = self._word, standing.word
        return Change(standing, new, gone, was) if new or gone or was != self._word else None


def keep_common(health: Health, before: Health) -> Health:
    """Keep the findings that an earlier look had too."""
    known = {one.key for one in before.findings}
    return replace(health, findings=tuple(x for x in health.findings if x.key in known))


def _list_off(plan: Plan, at: str) -> Iterator[Verdict]:
    for site, port in plan.off:
        yield tell_off(
            site,
            str(port["id"]),
            str(port.get("name") or ""),
            set_down=port.get("admin_state_up") is False,
            evidence=f"Neutron {site} at {at}: status={port.get('status')} "
            f"admin_state_up={port.get('admin_state_up')}",
        )


def _is_vital(dump: Dump, missing: Missing) -> bool:
    """Tell whether what was not read leaves the whole open: not hypervisors, or disabled sites."""
    if missing.source is Source.HOST:
        return False
    sites = dump.tables.get((Source.CENTRAL, CENTRAL), {}).get("site", ())
    disabled = {row.get("name") for row in sites if row.get("state") == SiteState.DISABLED}
    return missing.place not in disabled


def _rank(one: Finding) -> tuple[int, int, int, str, str]:
    severity = list(Severity).index(one.verdict.severity)
    subject = one.verdict.subject
    return (severity, one.position, -len(one.questions), one.verdict.code, str(subject))
