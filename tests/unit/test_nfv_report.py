"""The last line of `isthmus nfv check`: what its findings come to, and what was not seen."""

import pytest

from isthmus.cli.hosts.nfv_tables import show_report
from isthmus.model.verdict import Answer, Report, Ruling, Severity, Subject, Verdict
from isthmus.nfv.check.live import list_unseen, render_report

HALF = (
    Ruling(check="ports", answer=Answer.NOT_SEEN, why="interfaces, ports", detail="it is down"),
    Ruling(check="drops", answer=Answer.NOT_SEEN, why="interfaces", detail="it is down"),
    Ruling(check="irqs", answer=Answer.FINE),
)
WHOLE = (Ruling(check="irqs", answer=Answer.FINE),)

#: The severities that were found, the rulings, and how the last line begins.
LAST = {
    "nothing": ((), WHOLE, "h is as it should be; checks: 1 fine"),
    "advice": ((Severity.ADVICE,), WHOLE, "h is as it should be; "),
    "nothing in what was seen": ((), HALF, "h is as it should be in what was seen; "),
    "doubt alone": (
        (Severity.UNKNOWN, Severity.ADVICE),
        HALF,
        "nobody can tell from this whether h is as it should be; ",
    ),
    "doubt and a fault": (
        (Severity.DEGRADED, Severity.UNKNOWN),
        HALF,
        "h is not as it should be; checks: 1 fine, 0 found, 2 not seen, 0 not applicable; "
        "not seen (interfaces, ports)",
    ),
}


def make_report(severities: tuple[Severity, ...], rulings: tuple[Ruling, ...]) -> Report:
    """Make a report with a finding of each severity."""
    found = tuple(
        Verdict(
            code="a.b",
            severity=one,
            subject=Subject("it"),
            message="is so",
            evidence="read",
            remedy="do",
        )
        for one in severities
    )
    return Report(findings=found, rulings=rulings)


@pytest.mark.parametrize("name", LAST)
def test_the_last_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    severities, rulings, begins = LAST[name]
    show_report("h", make_report(severities, rulings))
    assert capsys.readouterr().out.splitlines()[-1].startswith(begins)


def test_what_was_not_seen_is_named_once_in_every_form() -> None:
    report = make_report((), HALF)
    assert list_unseen(report) == ("interfaces", "ports")
    assert render_report(report)["unseen"] == ["interfaces", "ports"]
