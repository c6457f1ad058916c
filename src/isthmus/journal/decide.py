"""What to carry in which order, and what becomes of each intent: pure.

Order. Objects are made in the order of `ResourceType` and removed the other way round, after
everything that is to be made. Whether an object is gone shows only when its wanted state is read,
so a removal found in the middle of a longer backlog is put behind it (`Settlement.after`).

Errors follow `errors.POLICY`, with one refinement: a refusal that another intent in flight may
cure (a thing that does not exist *yet*, or is *still* in the way) is tried a few times before a
person has to look; and behind the removals, since one of them may be what it waits for, and a batch
full of what waits would never let them come. An error that nobody foresaw is tried as often, in its
place: most such are gone the next time.
"""

from collections.abc import Mapping, Sequence

from isthmus import errors
from isthmus.journal.backoff import ATTEMPTS, PROBES
from isthmus.model.intent import Claim, IntentKey, Outcome, Settlement, removal_rank
from isthmus.model.item import Item, ItemResult

#: Refusals that the order of arrival may explain.
ORDER_DEPENDENT = (errors.NotFound, errors.Exists, errors.InUse, errors.Conflict)
#: Attempts at such an intent before it is parked: with `ATTEMPTS` about 15 seconds.
PATIENCE = 5
#: How long one object that alone ran into a time-out steps aside for the others.
SLOW_S = 30.0


def split_removals(
    claims: Sequence[Claim], wanted: Mapping[IntentKey, Item], *, more_due: bool
) -> tuple[list[Claim], list[Claim]]:
    """Split claims into those to deliver now and removals to defer behind the backlog.

    Args:
        claims: a batch, in the order of work.
        wanted: the state of each.
        more_due: whether intents of the lane may be due that are not in this batch.
    """
    now: list[Claim] = []
    later: list[Claim] = []
    for claim in claims:
        gone = wanted[claim.key].state is None
        if gone and more_due and claim.rank < removal_rank(claim.key.type):
            later.append(claim)
        else:
            now.append(claim)
    now.sort(key=lambda claim: _place(wanted[claim.key]))
    return now, later


def _place(item: Item) -> int:
    return removal_rank(item.type) if item.state is None else item.type.rank


def judge(
    claim: Claim,
    item: Item,
    error: errors.IsthmusError | None,
    *,
    uniform: float,
) -> Settlement:
    """Decide what becomes of one intent that was carried.

    Args:
        claim: the intent.
        item: what was carried.
        error: why it was not taken; None if it was.
        uniform: a random number from 0 to 1, for jitter.
    """
    absent = item.state is None
    if error is None or (absent and isinstance(error, errors.NotFound)):
        return Settlement(claim=claim, outcome=Outcome.DONE, absent=absent)
    if "unreached" in error.fields:
        return put_back(claim, error=error, delay_s=0.0, counts=False)
    if isinstance(error, errors.Unfinished):  # others come first, but it is nearer to its end
        return put_back(claim, error=error, delay_s=ATTEMPTS.delay_s(1, uniform), counts=False)
    action = errors.consequence(error).journal
    patient = claim.attempts + 1 < PATIENCE
    waits = isinstance(error, ORDER_DEPENDENT) and patient
    if waits or (type(error) is errors.Broken and patient):
        action = errors.JournalAction.RETRY
    match action:
        case errors.JournalAction.RETRY_FREE:
            wait = PROBES.cap_s
        case errors.JournalAction.RETRY:
            wait = ATTEMPTS.delay_s(claim.attempts + 1, uniform)
        case errors.JournalAction.PARK:
            return Settlement(
                claim=claim, outcome=Outcome.PARKED, absent=absent, error=_reason(error)
            )
    return Settlement(
        claim=claim,
        outcome=Outcome.AGAIN,
        absent=absent,
        delay_s=wait,
        counts=action is errors.JournalAction.RETRY,
        after=waits,
        error=_reason(error),
    )


def put_back(
    claim: Claim, *, error: errors.IsthmusError, delay_s: float, counts: bool
) -> Settlement:
    """Release a claim after a batch failed as a whole.

    Args:
        claim: of one intent.
        error: of the batch.
        delay_s: how long until the intent is due again.
        counts: whether this was an attempt at the object itself.
    """
    return Settlement(
        claim=claim,
        outcome=Outcome.AGAIN,
        delay_s=delay_s,
        counts=counts,
        error=_reason(error),
    )


def put_after(claim: Claim) -> Settlement:
    """Release the claim of a removal, due after everything that is to be created."""
    return Settlement(claim=claim, outcome=Outcome.AGAIN, absent=True, after=True)


def match_results(
    items: Sequence[Item], results: Sequence[ItemResult]
) -> list[errors.IsthmusError | None]:
    """Find the error, or None, of each item in an answer.

    The other side answers within seconds, and leaves out what it has not reached by then: that is
    due at once, since each batch brings something to an end. Where an answer says nothing of any
    item it is not.
    """
    by_key = {(result.type, result.id): result for result in results}
    more = {"unreached": True} if any((one.type, one.id) in by_key for one in items) else {}
    found: list[errors.IsthmusError | None] = []
    for item in items:
        result = by_key.get((item.type, item.id))
        if result is None:
            text = f"the answer says nothing of {item.type} {item.id}"
            found.append(errors.Stale(text, **more))
        elif result.taken:
            found.append(None)
        else:
            error = errors.from_code(result.code, result.message)
            if result.seen is not None:
                error.fields["seen"] = result.seen
            found.append(error)
    return found


def find_seen(sequence: int, results: Sequence[errors.IsthmusError | None]) -> int | None:
    """Find the newest batch that the other side says it has seen, where that is not this one."""
    said = [one.fields.get("seen") for one in results if isinstance(one, errors.Stale)]
    newer = [one for one in said if isinstance(one, int) and one > sequence]
    return max(newer, default=None)


def _reason(error: errors.IsthmusError) -> str:
    return f"{error.code}: {error.message}"
