"""Check a host from its facts, gathered now or before."""

from isthmus.facts import dump
from isthmus.facts.document import to_document
from isthmus.facts.gather import collect_facts
from isthmus.facts.protocols import HostClient
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.host.nfv_layout import Layout
from isthmus.model.verdict import Report, is_clean
from isthmus.nfv.check import host as checks
from isthmus.nfv.check import state


def check_host(
    client: HostClient, plan: HostPlan | None = None, *, layout: Layout | None = None
) -> Report:
    """Check a live host.

    Raises:
        Unreachable: nobody answered.
        StepFailed: the facts could not be gathered.
    """
    return check_facts(collect_facts(client, settings=True, layout=layout), plan)


def check_facts(text: str, plan: HostPlan | None = None) -> Report:
    """Check a host from facts that were gathered before (with settings).

    Raises:
        ProtocolError: they are garbled.
    """
    return checks.check_host(state.parse_state(dump.parse_facts(text)), plan)


def list_unseen(report: Report) -> tuple[str, ...]:
    """List the facts that checks lacked, each once."""
    return tuple(dict.fromkeys(name for why in report.unseen for name in why.split(", ")))


def render_report(report: Report) -> dict[str, object]:
    """Return a report as a document: the verdict and the counts first, then findings."""
    body = to_document(report)
    return {
        "clean": is_clean(report.findings),
        "answers": report.answers,
        "unseen": list(list_unseen(report)),
        "findings": [
            {**row, "subject": str(one.subject)}
            for row, one in zip(body["findings"], report.findings, strict=True)
        ],
        "rulings": body["rulings"],
    }
