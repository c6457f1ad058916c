"""What a sweep leaves out or tells as advice: nobody asked, and a person may want it so. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from isthmus.diagnose.check.look import Hop
from isthmus.diagnose.judge import Blocker
from isthmus.model.verdict import Severity, Subject, Verdict

#: Answers to a question, and no faults: what is not to pass, or lacks a way that nobody asked for.
_OF_A_QUESTION = frozenset({
    "router.none", "router.not_joined", "router.no_gateway", "router.no_gateway_of_family",
    "subnet.no_gateway", "subnet.gateway_elsewhere", "route.through_server", "floating.none",
    "forwarding.none", "forwarding.no_ping", "snat.off", "port.no_address", "port.unbound",
})  # fmt: skip
_OF_RULES = "policy."
#: What a person has set down, or what is on its way.
_MAY_BE_WANTED = frozenset({
    "port.admin_down", "network.admin_down", "external.admin_down", "router.admin_down",
    "router.interface_down", "exit.draining", "job.waiting",
})  # fmt: skip
#: Where findings stand that tell of an end itself, whatever a person has set down on the way.
_OF_ENDS = frozenset({
    Hop.SENDER_TAP, Hop.SENDER_PORT, Hop.SENDER_SWITCH, Hop.EGRESS, Hop.SHADOW, Hop.INGRESS,
    Hop.RECEIVER_SWITCH, Hop.RECEIVER_PORT, Hop.RECEIVER_TAP,
})  # fmt: skip


def select_findings(blockers: Sequence[Blocker]) -> Iterator[Verdict]:
    """Yield the findings of one question, without what follows from what a person has set down."""
    codes = {one.verdict.code for one in blockers if one.verdict.severity is Severity.BROKEN}
    set_down = bool(codes & _MAY_BE_WANTED)
    for one in blockers:
        if one.behind:  # behind what may be wanted; without that it is asked for anew
            continue
        on_the_way = not {hop for _, hop in one.hops} <= _OF_ENDS
        if not set_down or not on_the_way or one.verdict.code in _MAY_BE_WANTED:
            yield one.verdict


def weigh(found: Verdict) -> Verdict | None:
    """Return a finding as a sweep tells it; None where it is none without a question."""
    if found.code in _OF_A_QUESTION or found.code.startswith(_OF_RULES):
        return None
    return replace(found, severity=Severity.ADVICE) if found.code in _MAY_BE_WANTED else found


def tell_off(site: str, port_id: str, name: str, *, set_down: bool, evidence: str) -> Verdict:
    """Tell of a port that is not asked for: it is down, or nobody has plugged it in.

    Args:
        site: where it lives.
        port_id: its id.
        name: what it is called; may be empty.
        set_down: whether a person has set it down.
        evidence: what was read, where and when.
    """
    label = f"{name} ({port_id})" if name else port_id
    return Verdict(
        code="port.admin_down" if set_down else "port.not_active",
        severity=Severity.ADVICE,
        subject=Subject(port_id, "port", site),
        message=f"port {label} is administratively down" if set_down
        else f"nobody has plugged in port {label}: its server is off, or its interface is gone",
        evidence=evidence,
        remedy=f"openstack --os-cloud central port set --enable {port_id}" if set_down
        else f"if its server runs: isthmus why {port_id} external",
    )  # fmt: skip
