"""Where a port lives: what becomes of a site's request to have it. Pure.

A port has one home at most. It comes to the site that first binds or changes it. A port that lies
unused at another site can move, in two steps: the old home is asked to let go, and has acknowledged
before the new one gets it. A site that cannot be reached is never passed over, since it may have
bound the port without central's knowledge. An operator may say that it is gone: by disabling it,
for all of its ports that central does not know to be bound; or by a forced release, for one.
"""

import enum
from dataclasses import dataclass


class Step(enum.Enum):
    """What to do about the request."""

    STAYS = "stays"  #: it lives there already
    COMES = "comes"  #: it has no home, or one that is out of use: this is it from now on
    ASK = "ask"  #: ask its home to let go; until then the answer is "not yet"
    WAIT = "wait"  #: its home has been asked already
    REFUSE_BOUND = "refuse_bound"  #: it is in use at its home
    REFUSE_SILENT = "refuse_silent"  #: its home cannot be reached, or was removed


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of a port's home, all of it read behind the port's lock."""

    home: str | None
    leaving: bool = False
    bound: bool = False  #: a host, or a hypervisor, is known
    heard: bool = True  #: the home answers, as far as central has seen lately
    disabled: bool = False  #: an operator has said that the home is out of use


def decide(wanted_by: str, now: Situation) -> Step:
    """Decide on a site's request to have a port.

    Args:
        wanted_by: the site.
        now: how the port stands.
    """
    if now.home is None:
        return Step.COMES
    if now.home == wanted_by:
        # One that was to leave and is wanted again at its home: whatever is under way there ends
        # before it is given anew.
        return Step.WAIT if now.leaving else Step.STAYS
    if now.bound:
        return Step.REFUSE_BOUND
    if now.disabled:
        return Step.COMES  # one that is neither told nor heard could never let go
    if not now.heard:
        return Step.REFUSE_SILENT
    return Step.WAIT if now.leaving else Step.ASK
