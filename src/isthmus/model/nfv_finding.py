"""Findings: what a check of a host saw, with its evidence and what to do about it."""

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How bad it is; worst first."""

    BROKEN = "broken"  #: instances will fail, or already do
    DEGRADED = "degraded"  #: it works, slower or less surely than planned
    UNKNOWN = "unknown"  #: the check could not tell
    ADVICE = "advice"  #: nothing is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as planned, or not as it should be."""

    code: str  #: dotted and stable, such as pages.total
    severity: Severity
    subject: str  #: what it is about: node 1, dpdk0, cpu_dedicated_set
    message: str  #: one sentence
    evidence: str  #: what was read, and where
    remedy: str


def order(finding: Finding) -> tuple[int, str, str]:
    """Sort findings: the worst first, then by code and subject."""
    return (list(Severity).index(finding.severity), finding.code, finding.subject)


def is_clean(findings: tuple[Finding, ...]) -> bool:
    """Tell whether nothing but advice was found."""
    return all(finding.severity is Severity.ADVICE for finding in findings)
