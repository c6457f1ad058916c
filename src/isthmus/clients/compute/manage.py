"""nova-manage: tables are migrated and cells are mapped by Nova's own command.

Passwords are in the files that it reads, never on its command line, where `ps` would show them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from isthmus import errors
from isthmus.clients.machine import shell

_TIMEOUT_S = 900
_PROGRAM = "nova-manage"


class NovaManage:
    """nova-manage of this machine, for one new cell."""

    def __init__(self, nova_files: Sequence[Path], cell_file: Path) -> None:
        """Set what it reads.

        Args:
            nova_files: that say where the API database is.
            cell_file: of the new cell, which lies over them.
        """
        self._nova = [*nova_files]
        self._cell = cell_file

    def migrate(self) -> None:
        """Bring the tables of the cell's database to the revision of the installed Nova.

        Raises:
            Unsupported: there is no nova-manage here.
            StepFailed: it failed.
        """
        self._run("db", "sync", "--local_cell")

    def map_cell(self, name: str) -> None:
        """Map the cell, disabled.

        Raises:
            StepFailed: it failed.
        """
        self._run("cell_v2", "create_cell", "--name", name, "--disabled")

    def discover(self, uuid: str) -> None:
        """Map the hosts that announced themselves in a cell.

        Raises:
            StepFailed: it failed.
        """
        self._run("cell_v2", "discover_hosts", "--cell_uuid", uuid)

    def _run(self, *words: str) -> None:
        files = [one for file in (*self._nova, self._cell) for one in ("--config-file", file)]
        shell.run([find_nova_manage(), *files, *words], timeout_s=_TIMEOUT_S)


def find_nova_manage() -> Path:
    """Find the program: beside this Python, or on the path.

    Raises:
        Unsupported: it is not there.
    """
    beside = Path(sys.executable).parent / _PROGRAM
    found = beside if beside.exists() else shell.find_program(_PROGRAM)
    if found is None:
        raise errors.Unsupported("nova-manage is not installed here: run this on a controller")
    return found
