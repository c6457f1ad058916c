"""Following a build, and letting machines be retried that it gave up."""

from collections.abc import Collection, Mapping

from isthmus import errors
from isthmus.build.run.board import Board, make_board
from isthmus.build.run.protocols import EventLog, EventReader
from isthmus.build.run.standing import apply_event
from isthmus.model.rack.build import BuildEvent, Happening, Stage, Standing


class Watcher:
    """Follows a build, whoever runs it."""

    def __init__(self, reader: EventReader, names: tuple[str, ...] = ()) -> None:
        """Follow a build.

        Args:
            reader: of its log.
            names: the machines of its fleet file, where that is known.
        """
        self._reader = reader
        self._events: list[BuildEvent] = []
        self._standings: dict[str, Standing] = {}
        self._names = names

    def poll(self, now: float) -> tuple[Board, list[BuildEvent]]:
        """Return how it stands, and what happened since the last look."""
        new = list(self._reader.read_new())
        for event in new:
            apply_event(self._standings, event)
        self._events += new
        return make_board(self._events, self._standings, now, fleet=self._names), new

    @property
    def standings(self) -> dict[str, Standing]:
        """Return where every machine stands."""
        return dict(self._standings)


def choose_released(standings: Mapping[str, Standing], names: Collection[str]) -> tuple[str, ...]:
    """Choose which quarantined machines to retry; all of them where none is named.

    Raises:
        NotFound: a name is none of a quarantined machine.
    """
    lost = [name for name, one in standings.items() if one.stage is Stage.QUARANTINED]
    wrong = [name for name in names if name not in lost]
    if wrong:
        raise errors.NotFound(
            f"not quarantined: {', '.join(wrong)}; quarantined are {', '.join(lost) or 'none'}"
        )
    return tuple(names or lost)


def release(log: EventLog, names: Collection[str], *, at: float) -> None:
    """Write down that machines may be retried.

    Args:
        log: of the build.
        names: of quarantined machines.
        at: seconds since 1970.
    """
    for name in names:
        log.append(BuildEvent(at=at, kind=Happening.RELEASED, node=name))
