"""Split a cell: a new one gets some of its hosts, with their servers, as one procedure.

The new cell's file names the hosts and where they are from, so that it is gone on with, or taken
back, without being told again. The scheduler uses the new cell when all of it is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from isthmus import errors
from isthmus.cells.adding.procedure import Adding, Tell, Wanted
from isthmus.cells.moving.bring import Bringer, bring_all
from isthmus.cells.moving.bring import Tell as TellHost
from isthmus.cells.moving.drain import HostLeft, collect_hosts
from isthmus.model.compute.adding import AddedStep, NewCell


def check_hosts(hosts: Sequence[str], there: Sequence[str], cell: str) -> None:
    """Check which hosts are to leave a cell.

    Args:
        hosts: that are to leave it.
        there: that are in it.
        cell: its name.

    Raises:
        Invalid: none are named, or one twice, or all of them.
        NotFound: one is not in it.
    """
    if not hosts:
        raise errors.Invalid("name the hosts that are to leave: --hosts HOST,HOST")
    twice = sorted({one for one in hosts if hosts.count(one) > 1})
    if twice:
        raise errors.Invalid(f"{', '.join(twice)} stands twice in --hosts")
    strange = [one for one in hosts if one not in there]
    if strange:
        raise errors.NotFound(
            f"{', '.join(strange)}: no host of cell {cell}, which has {', '.join(there) or 'none'}"
        )
    if set(hosts) == set(there):
        raise errors.Invalid(f"that would leave cell {cell} without hosts")


def check_no_others(there: Sequence[str], cell: NewCell) -> None:
    """Check that a cell has no hosts but those that it got by the split.

    Raises:
        InUse: it has.
    """
    others = sorted(set(there) - set(cell.hosts))
    if others:
        raise errors.InUse(
            f"cell {cell.name} has got {', '.join(others)} since it was split off: move those to "
            "another cell first (isthmus cell move-host)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One cell that is split."""

    adding: Adding
    open_bringer: Callable[[], Bringer]  #: reads the cells anew

    def find_record(self) -> NewCell | None:
        """Return what its file says; None where it has not begun."""
        return self.adding.record.find()

    def take_up(self, cell: str, *, begins: bool) -> Wanted:
        """Return what is wanted, the hosts of the journal where none are named.

        Args:
            cell: name of the cell that is split.
            begins: whether it may begin; else it has to be there.

        Raises:
            NotFound: it is to be there, and is not.
            Conflict: the file is of another procedure.
            Refused: the hosts cannot leave the cell.
        """
        wanted, found = self.adding.wanted, self.find_record()
        if found is None and not begins:
            raise errors.NotFound(f"cell {wanted.name} was not split off from here")
        if found is None:
            check_hosts(wanted.hosts, self._list_hosts(), cell)
            return wanted
        same = not wanted.hosts or set(wanted.hosts) == set(found.hosts)
        if found.source != wanted.source or not same:
            raise errors.Conflict(
                f"cell {wanted.name} is being added, or was, for other hosts "
                f"({', '.join(found.hosts) or 'none'}): go on with those, or roll that back"
            )
        return replace(wanted, hosts=found.hosts)

    def _list_hosts(self) -> tuple[str, ...]:
        return self.open_bringer().databases.list_hosts(self.adding.wanted.source)

    def collect_hosts(self, hosts: tuple[str, ...]) -> tuple[HostLeft, ...]:
        """Look how the hosts stand on their way to the new cell."""
        mapped = self.adding.look().mapped
        return collect_hosts(self.open_bringer(), hosts, mapped.cell.uuid if mapped else "")

    def begin(self, tell: Tell) -> NewCell:
        """Add the new cell, for the scheduler to leave out, or go on with that.

        Raises:
            IsthmusError: what stands against a step.
        """
        wanted = self.adding.wanted
        closed = replace(self.adding, wanted=replace(wanted, enables=False), canary=None)
        closed.run(tell)
        found = self.find_record()
        assert found is not None
        return found

    def move(self, cell: NewCell, tell: TellHost, done: Callable[[str], None]) -> list[str]:
        """Move the hosts into the new cell, one after another; return those that were not there.

        Args:
            cell: the new one.
            tell: is told of what is done next, with the name of the host.
            done: is told of each host that has arrived.
        """
        return bring_all(self.open_bringer(), cell.hosts, self._get_uuid(), tell, done)

    def end(self, tell: Tell) -> tuple[AddedStep, ...]:
        """Have the scheduler use the new cell, and prove it."""
        return self.adding.run(tell)

    def roll_back(self, tell: TellHost, done: Callable[[str], None]) -> list[str]:
        """Bring the hosts back, and take the new cell away; return the hosts that came back.

        Args:
            tell: is told of what is done next, with the name of the host.
            done: is told of each host that is back.

        Raises:
            NotFound: nothing was begun.
            InUse: the new cell has got other hosts since.
        """
        found = self.find_record()
        if found is None or not found.source:
            raise errors.NotFound(f"cell {self.adding.wanted.name} was not split off from here")
        back: list[str] = []
        state = self.adding.look()
        if state.mapped is not None:
            bringer = self.open_bringer()
            check_no_others(bringer.databases.list_hosts(state.mapped.cell.uuid), found)
            self.adding.cells.set_enabled(state.mapped.cell.uuid, enabled=False)
            back = bring_all(bringer, found.hosts, found.source, tell, done)
        self.adding.roll_back()
        return back

    def _get_uuid(self) -> str:
        mapped = self.adding.look().mapped
        assert mapped is not None
        return mapped.cell.uuid
