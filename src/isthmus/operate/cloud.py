"""The cloud as an operator reaches it: the Admin API of central, and the Neutron of each tier.

And how an operator waits for what goes on there.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from isthmus import errors
from isthmus.clients.http.admin import IDS_IN_CALL, AdminApi
from isthmus.clients.http.neutron import NeutronClient
from isthmus.clients.http.transport import hasty
from isthmus.model.form import counted
from isthmus.model.intent import JobState

#: What is said of a tier whose list of holdings is empty: it has one row for who may see it.
SHOWS_NOTHING = (
    "{0} shows you nothing of what it holds: that takes the role admin or isthmus_reader"
)

#: How long central and its Keystone may take together for their first answers, the login among
#: them, in seconds: where one hangs, that is to be said well within a minute.
FIRST_ANSWER_S = 20.0

#: Pause between two looks, in seconds.
_LOOK_EVERY_S = 1.0

_Said = TypeVar("_Said")

#: What a person does about a central that does not answer.
_START = (
    "see that {who} of central runs (in a lab, `isthmus lab start central.{short}`); what hangs is "
    "killed first (`isthmus lab kill central.{short}`)"
)
#: Told before each further look what is waited for, and the seconds left.
Tell = Callable[[str, float], None]


class Cloud(Protocol):
    """Ways to central and to the sites, with the person's own credentials."""

    @property
    def api(self) -> AdminApi:
        """The Admin API of central."""

    def open_central(self) -> NeutronClient:
        """Open the Neutron of central."""

    def open_site(self, name: str, region: str) -> NeutronClient:
        """Open the Neutron of a site."""


def ask_first(admin: Cloud, question: Callable[[], _Said]) -> _Said:
    """Ask central a first question and Keystone whether it lives, both at once within one time.

    Who has a token, of which central has heard a moment ago, would not notice for five minutes that
    Keystone hangs.

    Args:
        admin: the cloud.
        question: what to ask.

    Returns:
        The answer to the question.

    Raises:
        Unreachable: nobody answered.
        TimedOut: not in time; where Keystone did not, that is what is said, since central waits
            for it as well.
        IsthmusError: the question was refused.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        asked = thread.submit(_ask_keystone, admin)
        try:
            with hasty(FIRST_ANSWER_S):
                answer = question()
        except errors.Transient as error:
            asked.result()
            raise _add_next(error, "Neutron", "neutron") from error
        asked.result()
    return answer


def _ask_keystone(admin: Cloud) -> None:
    with hasty(FIRST_ANSWER_S):
        try:
            admin.open_central().ask_keystone()
        except errors.Transient as error:
            raise _add_next(error, "Keystone", "keystone") from error


def _add_next(error: errors.Transient, who: str, short: str) -> errors.Transient:
    """Return the same error with what to do about it; nothing else can be told meanwhile."""
    said = error.message.removesuffix("; see that it runs")
    return type(error)(f"{said}. Next: {_START.format(who=who, short=short)}")


def wait_until_done(
    look: Callable[[], str],
    *,
    wait_s: float,
    tell: Tell,
    hint: Callable[[], str] = lambda: "It goes on",
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until nothing is to be waited for.

    A central that does not answer now is asked again while there is time.

    Args:
        look: says what is waited for; nothing where it is done.
        wait_s: how long.
        tell: called before each further look.
        hint: says what becomes of it where the time was too short.
        clock: gives seconds that only grow.
        pause: waits for some seconds.

    Raises:
        TimedOut: the time was too short; it goes on all the same.
        IsthmusError: of the look, unless it is transient.
    """
    deadline = clock() + wait_s
    while True:
        try:
            waits_for = look()
        except errors.Transient as error:
            waits_for = error.message
        if not waits_for:
            return
        left_s = deadline - clock()
        if left_s <= 0:
            raise errors.TimedOut(f"not done in {wait_s:g} s: {waits_for}. {hint()}")
        tell(waits_for, left_s)
        pause(min(_LOOK_EVERY_S, left_s))


@contextlib.contextmanager
def calling(resource_id: str, name: str) -> Iterator[None]:
    """Have a refusal of central call something what the person called it.

    Args:
        resource_id: the id of it.
        name: what the person called it.

    Raises:
        Refused: as the calls inside were.
    """
    try:
        yield
    except errors.Refused as error:
        said = error.message.replace(resource_id, name)
        raise type(error)(said, **error.fields) from error


def say_under_way(api: AdminApi, **filters: Any) -> str:
    """Describe which jobs are under way; nothing where none is.

    Args:
        api: central's.
        filters: which ones.

    Raises:
        Refused: a site has refused one.
    """
    rows = api.list("site_job", **filters)
    for row in rows:
        if row["state"] == JobState.PARKED:
            raise errors.Refused(
                f"site {row['site']} refused the {row['type']}: {row['last_error']}. When the "
                f"reason is gone: isthmus job retry {row['id']}"
            )
    if not rows:
        return ""
    sites = ", ".join(sorted({str(row["site"]) for row in rows}))
    why = next((f": {row['last_error']}" for row in rows if row["last_error"]), "")
    return f"{counted(len(rows), 'job')} under way to {sites}{why}"


def say_jobs(api: AdminApi, ids: Sequence[str]) -> str:
    """Describe which of some jobs are under way; nothing where all are done.

    Args:
        api: central's.
        ids: of the jobs.

    Raises:
        Refused: a site has refused one.
    """
    chunks = (ids[at : at + IDS_IN_CALL] for at in range(0, len(ids), IDS_IN_CALL))
    return next(filter(None, (say_under_way(api, id=one) for one in chunks)), "")
