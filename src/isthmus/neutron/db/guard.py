"""A unit of work: what it is about, and a question that its transactions ask before they commit.

Applying an item takes many transactions, most of them Neutron's own, and the batch may be overtaken
between any two. So each of them asks, whatever it changed and by whatever means: work that must not
continue commits nothing. What the work is about (a site's item of central's, a report at central)
is asked for where Neutron's methods have no argument to say it.

Neutron calls a method again, up to 20 times with pauses of up to 10 s, where a row is there
already: it would choose another address or id. Such work brings ids of its own, so whoever makes
the same object at the same moment is in its way each time, for more than two minutes. So a
collision ends the call here at once; whoever carries out the work looks again what is there.
"""

import contextvars
import functools
import itertools
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

import sqlalchemy as sa
from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api
from neutron_lib.objects import exceptions as obj_exc
from oslo_db import exception as db_exc
from sqlalchemy.orm import Session

from isthmus import errors

#: Raises where the work must not continue.
Question = Callable[[sa.Connection], None]
_Subject = TypeVar("_Subject")

_current: contextvars.ContextVar["Guarded | None"] = contextvars.ContextVar(
    "isthmus_guard", default=None
)


class Guarded:
    """A block whose every transaction asks a question before it commits.

    Once the answer was no, the block ends with that answer, whatever Neutron made of the error on
    its way (a failure of a callback, a line in the log). In a nested block, both questions are
    asked.
    """

    def __init__(
        self, question: Question | None, *, subject: object = None, writes: bool = False
    ) -> None:
        """Initialise the block.

        Args:
            question: raises where the work must not continue; None: it finishes what was allowed to
                commit, and asks nothing, nor do the blocks around it.
            subject: what the work is about, for `find_subject`.
            writes: whether the question may change a row, as the one does that takes note of a
                batch.
        """
        self._question = question
        self._subject = subject
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

    @property
    def asks(self) -> bool:
        """Return whether its transactions ask anything."""
        return self._question is not None

    def ask(self, connection: sa.Connection) -> None:
        """Ask the question in a transaction.

        Raises:
            IsthmusError: the work must not continue.
        """
        blocks = list(self._list_asking())
        blocks.reverse()
        if connection.dialect.name == "sqlite":
            # A transaction of Neutron's that only reads may have had no statement yet. One that
            # begins with a read cannot write afterwards there (`sqlite`).
            blocks.sort(key=lambda block: not block._writes)
        for block in blocks:
            assert block._question is not None
            try:
                block._question(connection)
            except errors.IsthmusError as error:
                for inside in self._list_asking():
                    inside._refusal = error
                    if inside is block:
                        break
                raise

    def _list_asking(self) -> "Iterator[Guarded]":
        """List this block and those around it, the innermost first, up to one that asks nothing."""
        return itertools.takewhile(lambda block: block.asks, self._list_around())

    def _list_around(self) -> "Iterator[Guarded]":
        """List this block and those around it, the innermost first."""
        block: Guarded | None = self
        while block is not None:
            yield block
            block = block._around


def unasked() -> Guarded:
    """Ask nothing of the transactions of this block: they finish what was allowed to commit.

    Neutron takes an error there for a failure of the back end, and deletes what it has just
    created. What the work is about it still knows.
    """
    return Guarded(None)


def find_subject(kind: type[_Subject]) -> _Subject | None:
    """Return what this thread's work is about, the innermost of a type; None where there is none.

    Args:
        kind: the type.
    """
    block = _current.get()
    around = () if block is None else block._list_around()
    return next((one._subject for one in around if isinstance(one._subject, kind)), None)


def is_collision(error: object) -> bool:
    """Return whether an error of Neutron's says that a row is there already."""
    if isinstance(error, n_exc.MultipleExceptions):  # of drivers or callbacks
        return any(is_collision(one) for one in error.inner_exceptions)
    return isinstance(error, db_exc.DBDuplicateEntry | obj_exc.NeutronDbObjectDuplicateEntry)


def listen() -> None:
    """Start to listen to every session of this process, and to Neutron's retries.

    Call it after other listeners have been added: what the question locks is then locked last.
    """
    db_api.sqla_listen(Session, "before_commit", _before_commit)
    retries = db_api._retry_db_errors
    native = retries.exception_checker
    if getattr(native, "func", None) is not _is_retried:
        retries.exception_checker = functools.partial(_is_retried, native)


def _is_retried(native: Callable[[Exception], bool], error: Exception) -> bool:
    """Return whether Neutron is to call a method again after an error.

    What is about an item or a report is carried out again as a whole where it collides; what only
    asks a question, and what finishes a commit, Neutron repeats as ever.
    """
    block = _current.get()
    if block is not None and block.asks and find_subject(object) is not None:
        return not is_collision(error) and native(error)
    return native(error)


def _before_commit(session: Session) -> None:
    block = _current.get()
    if block is None or not block.asks:
        return
    transaction = session.get_transaction()
    if transaction is not None and transaction.nested:
        return  # a savepoint; the real commit follows
    if session.new or session.dirty or session.deleted:
        session.flush()
    block.ask(session.connection())
