"""Every error of Isthmus, in one tree.

    IsthmusError
    ├── Refused         asked for something that cannot be; never retried
    │   ├── Invalid         the request itself is wrong
    │   ├── NotFound        no such thing, or none that the caller may see
    │   ├── Exists          there is one already
    │   ├── InUse           something else still needs it
    │   ├── Conflict        it changed underneath: read again, decide again
    │   ├── Exhausted       no address, key, core or page left
    │   │   └── OverQuota       the project has all that it may have; retried, as that may change
    │   └── Unsupported     this site, host or kernel lacks the capability
    ├── Transient       the same call may work later
    │   ├── Unreachable     nobody answered: does not count as an attempt
    │   ├── TimedOut        no answer in time: does not count as an attempt
    │   ├── Busy            somebody else holds it
    │   ├── Unfinished      a part of it is done; the same call goes on from there
    │   └── Stale           the other side has not caught up yet
    │       └── Overtaken   what a decision rests on was changed meanwhile
    └── Broken          the outside answered and the answer is wrong: a person must look
        ├── ProtocolError   the answer does not have the promised form
        ├── Inconsistent    two authorities disagree
        └── StepFailed      a step of a longer piece of work failed, with its output

Two questions decide the class: would the same call work later, and whose fault is it. `POLICY` is
the one table that turns a class into an HTTP status, a journal action and a CLI exit code; the
Neutron room translates at its own boundary. Findings of audits and checks are values, never errors.
"""

import enum
from dataclasses import dataclass


class IsthmusError(Exception):
    """Something went wrong in Isthmus."""

    code = "isthmus.error"

    def __init__(self, message: str = "", **fields: object) -> None:
        """Keep the sentence and the values it was made of.

        Args:
            message: one sentence with the values in it and, where there is one, what to do.
            fields: the same values by name, for logs and for JSON.
        """
        self.message = message or (type(self).__doc__ or "").strip()
        self.fields = fields
        super().__init__(self.message)


class Refused(IsthmusError):
    """The request cannot be met."""

    code = "isthmus.refused"


class Invalid(Refused):
    """The request is not well formed."""

    code = "isthmus.refused.invalid"


class NotFound(Refused):
    """There is no such thing."""

    code = "isthmus.refused.not_found"


class Exists(Refused):
    """There is one already."""

    code = "isthmus.refused.exists"


class InUse(Refused):
    """Something else still needs it."""

    code = "isthmus.refused.in_use"


class Conflict(Refused):
    """It changed in the meantime; read it again."""

    code = "isthmus.refused.conflict"


class Exhausted(Refused):
    """Nothing is left to give."""

    code = "isthmus.refused.exhausted"


class OverQuota(Exhausted):
    """The project has all that its quota allows."""

    code = "isthmus.refused.exhausted.over_quota"


class Unsupported(Refused):
    """The capability is missing here."""

    code = "isthmus.refused.unsupported"


class Transient(IsthmusError):
    """The same call may work later."""

    code = "isthmus.transient"


class Unreachable(Transient):
    """Nobody answered."""

    code = "isthmus.transient.unreachable"


class TimedOut(Transient):
    """No answer came in time."""

    code = "isthmus.transient.timed_out"


class Busy(Transient):
    """Somebody else holds it."""

    code = "isthmus.transient.busy"


class Unregistered(Busy):
    """The site has to register at central first."""

    code = "isthmus.transient.unregistered"


class Unfinished(Transient):
    """A part of it is done; the same call goes on from there."""

    code = "isthmus.transient.unfinished"


class Stale(Transient):
    """The other side has not caught up yet."""

    code = "isthmus.transient.stale"


class Overtaken(Stale):
    """What this rests on was changed meanwhile: read it again."""

    code = "isthmus.transient.overtaken"


class Broken(IsthmusError):
    """The answer is wrong; a person must look."""

    code = "isthmus.broken"


class ProtocolError(Broken):
    """The answer does not have the promised form."""

    code = "isthmus.broken.protocol"


class Inconsistent(Broken):
    """Two authorities disagree."""

    code = "isthmus.broken.inconsistent"


class StepFailed(Broken):
    """A step failed."""

    code = "isthmus.broken.step_failed"


class JournalAction(enum.Enum):
    """What becomes of an intent when the receiver answers an error about its object."""

    RETRY_FREE = "retry_free"  #: try again; nobody answered, so it is no attempt
    RETRY = "retry"  #: try again, later each time
    PARK = "park"  #: keep it, with its reason, until a person retries or cancels it


@dataclass(frozen=True, slots=True)
class Consequence:
    """How one class of error shows at the edges."""

    http_status: int
    journal: JournalAction
    exit_code: int


#: Looked up along the class's ancestors; the nearest row counts.
POLICY: dict[type[IsthmusError], Consequence] = {
    IsthmusError: Consequence(500, JournalAction.PARK, 1),
    Refused: Consequence(400, JournalAction.PARK, 2),
    NotFound: Consequence(404, JournalAction.PARK, 2),
    Exists: Consequence(409, JournalAction.PARK, 2),
    InUse: Consequence(409, JournalAction.PARK, 2),
    Conflict: Consequence(409, JournalAction.PARK, 2),
    Exhausted: Consequence(409, JournalAction.PARK, 2),
    OverQuota: Consequence(409, JournalAction.RETRY, 2),
    Unsupported: Consequence(501, JournalAction.PARK, 2),
    Transient: Consequence(503, JournalAction.RETRY, 3),
    Unreachable: Consequence(503, JournalAction.RETRY_FREE, 3),
    TimedOut: Consequence(503, JournalAction.RETRY_FREE, 3),
    Broken: Consequence(502, JournalAction.PARK, 1),
}

#: The exit code of a command that looked (`status`, `audit`) and found that something is wrong.
EXIT_FOUND = 1
#: The CLI's exit code for an error that is none of ours: a bug (sysexits.h, EX_SOFTWARE).
EXIT_BUG = 70
#: The CLI's exit code after Ctrl-C (128 + SIGINT), as shells have it.
EXIT_INTERRUPTED = 130


def consequence(error: type[IsthmusError] | IsthmusError) -> Consequence:
    """Find what an error means at the edges, by its nearest ancestor in `POLICY`."""
    kind = error if isinstance(error, type) else type(error)
    return next(POLICY[ancestor] for ancestor in kind.__mro__ if ancestor in POLICY)


def all_errors() -> list[type[IsthmusError]]:
    """List the whole tree, parents before children."""
    found: list[type[IsthmusError]] = [IsthmusError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


def from_code(code: str, message: str) -> IsthmusError:
    """Rebuild an error that came over the wire; an unknown code becomes `ProtocolError`."""
    for kind in all_errors():
        if kind.code == code:
            return kind(message)
    return ProtocolError(f"{message} (unknown error code {code!r})")
