"""What sites say of numbers after central was restored, and whom central believes. Pure.

A port at central came back with the backup, and a site has its number on another port by now. The
number can be one port's alone. Central's word is the older one wherever the port's own home, asked,
does not bear it out.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A port at central that has a number which a site has on another port."""

    home: str | None
    let_go: bool  #: its home has the port, and says that it has this number no more
    is_named: bool  #: some site has the port
    home_heard: bool  #: its home has said which ports it has
    leased_there: bool  #: central itself knew the number as leased to the site that has it


def is_outdated(holder: Holder, *, recovered: bool) -> bool:
    """Tell whether a port's number is what came back with a backup, and another port's by now.

    Args:
        holder: the port that has it at central.
        recovered: whether central gives numbers out: what it gave since is not old.
    """
    if holder.let_go:
        return True
    if holder.is_named or recovered:
        return False  # somebody may really have it there
    return holder.home is None or holder.home_heard or holder.leased_there
