"""What the status of an HTTP answer means: one table, for every client of ours.

An answer that carries one of our own codes is that error. Of all others the status decides, and
whether the application itself answered: a proxy in front of one that is away answers 502 to 504 in
its name, with a page of its own. So does the middleware that asks Keystone about a token: 503 where
Keystone is away, and 500 where it takes the call and says nothing, which the middleware does not
foresee (Source: `keystonemiddleware.auth_token.AuthProtocol.fetch_token`, which catches no
`ConnectTimeout`, and `oslo_middleware.catch_errors`).
"""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors

#: The keys of a fault that webob makes JSON of (Source: `webob.exc.WSGIHTTPException`).
_BARE_FAULT = {"message", "code", "title"}
#: The head of a page, which repeats its body, and all marks.
_MARKUP = re.compile(r"(?si)<head\b.*?</head\s*>|<(?:!--.*?--|[/!a-z][^<>]*)>")
_OURS = errors.IsthmusError.code.partition(".")[0] + "."


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one status means."""

    error: type[errors.IsthmusError]
    remedy: str = ""  #: what a person does; empty where the reason in the answer says it
    by_proxy: type[errors.IsthmusError] | None = None  #: where the application did not answer
    proxy_remedy: str = ""  #: what a person does then; empty for the same
    #: For a service that asks on somebody's behalf and goes on without the answer: a site while
    #: central is out of order.
    can_wait: type[errors.IsthmusError] | None = None


_AWAY = "see that its service and its Keystone answer, and what the proxy in front of it logs"
#: Where something in front of the application answered 500.
_NOT_HEARD = (
    "it was not its application that said so: see that its Keystone and its database answer, then "
    "the log of its service"
)
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
    500: Meaning(
        errors.StepFailed,
        "see the log of its service",
        by_proxy=errors.Unreachable,
        proxy_remedy=_NOT_HEARD,
        can_wait=errors.Stale,
    ),
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
    remedy = meaning.remedy
    if not _is_by_application(body):
        kind = meaning.by_proxy or kind
        remedy = meaning.proxy_remedy or remedy
    said = f"{name} answered {status} to {path}: {reason or 'no reason given'}"
    if remedy:
        return kind(f"{said.rstrip('.')}; {remedy}", status=status, remedy=remedy)
    return kind(said, status=status)


def blame(error: errors.Unreachable, ask: Callable[[], object]) -> errors.IsthmusError:
    """Find out whether a call went unheard because of itself.

    A worker that dies of one batch has the proxy in front of it answer in its name, as it does
    where nobody is there. The next call, about something else, tells which.

    Args:
        error: what came of the call.
        ask: asks the same application for something small; raises where nobody answers.

    Returns:
        The error; another one where the application is there.
    """
    if "status" not in error.fields:
        return error
    try:
        ask()
    except errors.IsthmusError:
        return error
    return errors.StepFailed(
        f"{error.message.rstrip('.')}; it answers other calls, so its log has to say what this one "
        "did to it",
        **error.fields,
    )


def _is_by_application(body: Any) -> bool:
    """Return whether an API answered, and no page or bare fault of what stands before it."""
    return isinstance(body, Mapping) and set(body) != _BARE_FAULT


def read_fault(body: Any) -> tuple[str, str]:
    """Find the type and the sentence in a body; ours have our code as Neutron's `type`."""
    fault = body.get("NeutronError", body) if isinstance(body, Mapping) else body
    if isinstance(fault, Mapping) and isinstance(fault.get("error"), Mapping):
        fault = fault["error"]  # Keystone, and its middleware
    if isinstance(fault, Mapping):
        said = str(fault.get("message", fault))
        return str(fault.get("type", "")), said if _is_by_application(fault) else _to_text(said)
    said = str(fault or "")
    return "", (_to_text(said) if said.lstrip().startswith("<") else said)[:200]


def _to_text(said: str) -> str:
    """Return what a page says, in one line."""
    return " ".join(html.unescape(_MARKUP.sub(" ", said)).split())
