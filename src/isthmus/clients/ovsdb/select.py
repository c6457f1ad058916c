"""Reading rows of an OVSDB server by a few selects, without a copy of its database."""

from collections.abc import Sequence

from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.facts.ovsdb import Row, Select, parse_answer, render_transaction


class RemoteDatabase:
    """One database behind an address; nothing is kept open."""

    def __init__(self, remote: str, name: str, timeout_s: float = 5.0) -> None:
        """Bind it.

        Args:
            remote: as in "unix:/run/ovn/ovnnb_db.sock" or "tcp:10.0.0.1:6641"; several with commas.
            name: of the database, such as OVN_Northbound.
            timeout_s: longest wait for one answer.
        """
        self._remote = remote
        self._name = name
        self._timeout_s = timeout_s

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        """Return the rows of each select.

        Raises:
            Unreachable: nobody answered.
            Unsupported: ovsdb-client is not installed.
            ProtocolError: the answer is of no use.
        """
        return self._ask(self._name, selects)

    def read_server(self) -> Row:
        """Return how the server has its database: model, leader, connected (ovsdb-server(5)).

        Raises:
            Unreachable: nobody answered.
            Unsupported: ovsdb-client is not installed.
            ProtocolError: the answer is of no use.
        """
        where = (("name", "==", self._name),)
        select = Select("Database", where, ("model", "leader", "connected"))
        (rows,) = self._ask("_Server", [select])
        if not rows:
            raise errors.ProtocolError(f"{self._remote} has no database {self._name}")
        return rows[0]

    def _ask(self, name: str, selects: Sequence[Select]) -> list[list[Row]]:
        seconds = max(1, round(self._timeout_s))
        argv = ["ovsdb-client", f"--timeout={seconds}", "transact", self._remote]
        try:
            done = shell.run(
                [*argv, render_transaction(name, selects)], timeout_s=self._timeout_s + 2
            )
        except (errors.StepFailed, errors.TimedOut) as error:
            reason = error.message.rpartition(": ")[2] or error.message
            raise errors.Unreachable(
                f"{self._name} at {self._remote} does not answer: {reason}"
            ) from error
        return parse_answer(done.stdout, selects)
