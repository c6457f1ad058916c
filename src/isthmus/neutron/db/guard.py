"""A question that every transaction of a unit of work asks just before it commits.

Applying an item takes many transactions, most of them Neutron's own, and the batch may be overtaken
between any two. So each of them asks, whatever it changed and by whatever means: work that must not
continue commits nothing.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from types import TracebackType

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from sqlalchemy.orm import Session

from isthmus import errors

#: Raises where the work must not continue.
Question = Callable[[sa.Connection], None]

_current: contextvars.ContextVar["Guarded | None"] = contextvars.ContextVar(
    "isthmus_guard", default=None
)


class Guarded:
    """A block whose every transaction asks a question before it commits.

    Once the answer was no, the block ends with that answer, whatever Neutron made of the error on
    its way (a failure of a callback, a line in the log). In a nested block, both questions are
    asked.
    """

    def __init__(self, question: Question, *, writes: bool = False) -> None:
        """Initialise the block.

        Args:
            question: raises where the work must not continue.
            writes: whether it may change a row, as the one does that takes note of a batch.
        """
        self._question = question
        self._writes = writes
        self._refusal: errors.IsthmusError | None = None
        self._token: contextvars.Token[Guarded | None] | None = None
        self._around: Guarded | None = None

    def __enter__(self) -> None:
        """Start to ask."""
        self._around = _current.get()
        self._token = _current.set(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the block."""
        assert self._token is not None
        _current.reset(self._token)
        if self._refusal is None or error is self._refusal:
            return
        if error is None or isinstance(error, Exception):
            raise self._refusal from error

    def ask(self, connection: sa.Connection) -> None:
        """Ask the question in a transaction.

        Raises:
            IsthmusError: the work must not continue.
        """
        blocks = list(self._list_around())
        blocks.reverse()
        if connection.dialect.name == "sqlite":
            # A transaction of Neutron's that only reads may have had no statement yet. One that
            # begins with a read cannot write afterwards there (`sqlite`).
            blocks.sort(key=lambda block: not block._writes)
        for block in blocks:
            try:
                block._question(connection)
            except errors.IsthmusError as error:
                for inside in self._list_around():
                    inside._refusal = error
                    if inside is block:
                        break
                raise

    def _list_around(self) -> "Iterator[Guarded]":
        """List this block and those around it, the innermost first."""
        block: Guarded | None = self
        while block is not None:
            yield block
            block = block._around


@contextlib.contextmanager
def unasked() -> Iterator[None]:
    """Ask nothing of the transactions of this block: they finish what was allowed to commit.

    Neutron takes an error there for a failure of the back end, and deletes what it has just
    created.
    """
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def listen() -> None:
    """Start to listen to every session of this process.

    Call it after other listeners have been added: what the question locks is then locked last.
    """
    db_api.sqla_listen(Session, "before_commit", _before_commit)


def _before_commit(session: Session) -> None:
    block = _current.get()
    if block is None:
        return
    transaction = session.get_transaction()
    if transaction is not None and transaction.nested:
        return  # a savepoint; the real commit follows
    if session.new or session.dirty or session.deleted:
        session.flush()
    block.ask(session.connection())
