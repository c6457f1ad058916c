"""Verdicts: what a check found wrong, with its evidence and what to do about it.

The audit, the NFV checks and `isthmus lab verify` use these alike. A check gives one of four
answers, and three of them are not "fine": it found something, there is nothing here for it to
check, or what it needs was not seen.
"""

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from typing_extensions import override


class Severity(enum.StrEnum):
    """How bad it is; worst first."""

    BROKEN = "broken"  #: packets, addresses or instances go wrong, or will
    DEGRADED = "degraded"  #: it works slower or less surely, or is being repaired already
    UNKNOWN = "unknown"  #: the check could not tell
    ADVICE = "advice"  #: nothing is wrong


class Answer(enum.StrEnum):
    """What one check came to."""

    FINE = "fine"  #: all that it needs was seen, and is as it should be
    FOUND = "found"
    NOT_SEEN = "not seen"  #: what it needs could not be read
    NOT_APPLICABLE = "not applicable"  #: there is nothing of the kind here


@dataclass(frozen=True, slots=True)
class Subject:
    """What a verdict is about."""

    name: str  #: an id, or what people call it: dpdk0, node 1
    type: str = ""  #: port, network, lease, shadow, site ...; empty where the name says it
    place: str = ""  #: the tier or host where it was seen; empty where only one was asked

    @override
    def __str__(self) -> str:
        return " ".join(part for part in (self.type, self.name) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One thing that is not as it should be."""

    code: str  #: dotted and stable, such as pages.total
    severity: Severity
    subject: Subject
    message: str  #: what is wrong, in words
    evidence: str  #: the values that were read, and where
    remedy: str  #: what a person does, or what will put it right


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """One check and its answer."""

    check: str
    answer: Answer
    why: str = ""  #: what was seen, what was not, or why there is nothing to check
    detail: str = ""  #: of what was not seen: not installed, not running, not permitted ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a set of checks came to."""

    findings: tuple[Verdict, ...]  #: the worst first
    rulings: tuple[Ruling, ...]

    def count(self, answer: Answer) -> int:
        """Count the checks with one answer."""
        return Counter(one.answer for one in self.rulings)[answer]

    @property
    def answers(self) -> dict[str, int]:
        """Count the checks by their answer; all four are named."""
        return {answer.value: self.count(answer) for answer in Answer}

    @property
    def unseen(self) -> tuple[str, ...]:
        """List what was not seen, each once."""
        return tuple(
            dict.fromkeys(
                one.why for one in self.rulings if one.answer is Answer.NOT_SEEN and one.why
            )
        )


def order(verdict: Verdict) -> tuple[int, str, str, str, str]:
    """Sort verdicts: the worst first, then by code and subject."""
    subject = verdict.subject
    worst = list(Severity).index(verdict.severity)
    return (worst, verdict.code, subject.place, subject.type, subject.name)


def is_clean(verdicts: Iterable[Verdict]) -> bool:
    """Tell whether there is nothing but advice."""
    return all(verdict.severity is Severity.ADVICE for verdict in verdicts)


def to_row(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as one flat row, for a table or a list of records."""
    subject = verdict.subject
    return {
        "severity": verdict.severity.value,
        "code": verdict.code,
        "place": subject.place,
        "type": subject.type,
        "name": subject.name,
        "message": verdict.message,
        "evidence": verdict.evidence,
        "remedy": verdict.remedy,
    }
