"""Findings: what a check of a host saw, with its evidence and what to do about it.

A check gives one of four answers, and three of them are not "fine": it found something, the host
has nothing to check there, or what it needs was not seen.
"""

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How bad it is; worst first."""

    BROKEN = "broken"  #: instances will fail, or already do
    DEGRADED = "degraded"  #: it works, slower or less surely than planned
    UNKNOWN = "unknown"  #: the check could not tell
    ADVICE = "advice"  #: nothing is wrong


class Answer(enum.StrEnum):
    """What one check came to."""

    FINE = "fine"  #: all that it needs was seen, and is as it should be
    FOUND = "found"
    NOT_SEEN = "not seen"  #: what it needs is not in the facts
    NOT_APPLICABLE = "not applicable"  #: this host, or its plan, has none of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as planned, or not as it should be."""

    code: str  #: dotted and stable, such as pages.total
    severity: Severity
    subject: str  #: what it is about: node 1, dpdk0, cpu_dedicated_set
    message: str  #: one sentence
    evidence: str  #: what was read, and where
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """One check and its answer."""

    check: str
    answer: Answer
    why: str = ""  #: what was not seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that the checks of one host came to."""

    findings: tuple[Finding, ...]  #: the worst first
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
        """What was not seen, each once."""
        return tuple(dict.fromkeys(one.why for one in self.rulings if one.why))


def order(finding: Finding) -> tuple[int, str, str]:
    """Sort findings: the worst first, then by code and subject."""
    return (list(Severity).index(finding.severity), finding.code, finding.subject)


def is_clean(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing but advice was found."""
    return all(finding.severity is Severity.ADVICE for finding in findings)
