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

    def __init__(self, question: Question) -> None:
        """Initialise the block."""
        self._question = question
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
        around = self._around.ask if self._around is not None else None
        questions = [one for one in (around, self._question) if one is not None]
        if connection.dialect.name == "sqlite":
            # A transaction of Neutron's that only reads may have had no statement yet. One that
            # begins with a read cannot write afterwards there (`sqlite`), and the inner question
            # writes.
            questions.reverse()
        try:
            for question in questions:
                question(connection)
        except errors.IsthmusError as error:
            self._refusal = error
            raise


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
