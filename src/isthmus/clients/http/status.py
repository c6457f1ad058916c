"""What the status of an HTTP answer means: one table, for every client of ours.

An answer that carries one of our own codes is that error. Of all others the status decides, and
whether the application itself answered: a proxy in front of one that is away answers 502 to 504 in
its name, with a page of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors

_OURS = errors.IsthmusError.code.partition(".")[0] + "."


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one status means."""

    error: type[errors.IsthmusError]
    remedy: str = ""  #: what a person does; empty where the reason in the answer says it
    by_proxy: type[errors.IsthmusError] | None = None  #: where the application did not answer
    #: For a service that asks on somebody's behalf and goes on without the answer: a site while
    #: central is out of order.
    can_wait: type[errors.IsthmusError] | None = None


_AWAY = "see that its service runs, and what the proxy in front of it logs"
#: The rest are `ProtocolError`. Statuses as RFC 9110, 15 has them.
MEANINGS: Mapping[int, Meaning] = {
    400: Meaning(errors.Invalid),
    # A person's login that is not accepted is a refusal; a service's is a fault of the set-up, and
    # none of the tenant's for whom it asks.
    401: Meaning(
        errors.Refused,
        "check the user, the password and the project of the login",
        can_wait=errors.StepFailed,
    ),
    403: Meaning(errors.Refused, "check the roles of the login, and the policy of the service"),
    404: Meaning(errors.NotFound),
    409: Meaning(errors.Conflict),
    # Too much at once has the same cure as too slow: half of it.
    413: Meaning(errors.TimedOut, "raise the largest body that the proxy takes"),
    429: Meaning(errors.Busy),
    500: Meaning(errors.StepFailed, "see the log of its service", can_wait=errors.Stale),
    501: Meaning(errors.Unsupported),
    502: Meaning(errors.Unreachable, _AWAY),
    503: Meaning(errors.Busy, _AWAY, by_proxy=errors.Unreachable),
    504: Meaning(errors.TimedOut, _AWAY),
}
_UNKNOWN = Meaning(errors.ProtocolError, "see whether something else answers at that address")


def find_meaning(status: int) -> Meaning:
    """Find what a status means."""
    return MEANINGS.get(status, _UNKNOWN)


def to_error(
    status: int, body: Any, *, name: str, path: str, can_wait: bool = False
) -> errors.IsthmusError:
    """Make the error of an answer whose status says that it is one.

    Args:
        status: of the answer, 400 or above.
        body: its JSON; a text where it is none.
        name: what to call the other side.
        path: what was asked for.
        can_wait: whether the caller is a service that goes on without the answer.

    Returns:
        An error with the reason in the answer, and the remedy where the reason is not one.
    """
    code, reason = read_fault(body)
    if code.startswith(_OURS):
        return errors.from_code(code, reason)
    meaning = find_meaning(status)
    kind = (meaning.can_wait if can_wait else None) or meaning.error
    if not isinstance(body, Mapping):
        kind = meaning.by_proxy or kind
    said = f"{name} answered {status} to {path}: {reason or 'no reason given'}"
    if meaning.remedy:
        return kind(f"{said.rstrip('.')}; {meaning.remedy}", status=status, remedy=meaning.remedy)
    return kind(said, status=status)


def read_fault(body: Any) -> tuple[str, str]:
    """Find the type and the sentence in a body; ours have our code as Neutron's `type`."""
    fault = body.get("NeutronError", body) if isinstance(body, Mapping) else body
    if isinstance(fault, Mapping) and isinstance(fault.get("error"), Mapping):
        fault = fault["error"]  # Keystone, and its middleware
    if isinstance(fault, Mapping):
        return str(fault.get("type", "")), str(fault.get("message", fault))
    return "", str(fault or "")[:200]
