"""What only nova-manage does: changes of cell mappings, by Nova's own objects."""

import sys
from collections.abc import Sequence
from pathlib import Path

from isthmus.clients.machine import shell

#: It imports much of Nova first; on a busy machine that takes long.
TIMEOUT_S = 180


class NovaManage:
    """nova-manage, with Nova's own files."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Set which files it reads."""
        own = Path(sys.executable).with_name("nova-manage")
        program: Path | str = own if own.exists() else "nova-manage"
        self._words = [program, *(word for one in files for word in ("--config-file", one))]

    def set_enabled(self, cell: str, *, enabled: bool) -> None:
        """Enable or disable a cell, by its uuid.

        Raises:
            Unsupported: nova-manage is not installed.
            StepFailed: it failed.
        """
        flag = "--enable" if enabled else "--disable"
        self._run("update_cell", "--cell_uuid", cell, flag)

    def delete_cell(self, cell: str) -> None:
        """Delete a cell without servers, by its uuid, with mappings that are left.

        Raises:
            Unsupported: nova-manage is not installed.
            StepFailed: it failed.
        """
        self._run("delete_cell", "--cell_uuid", cell, "--force")

    def _run(self, *words: str) -> None:
        shell.run([*self._words, "cell_v2", *words], timeout_s=TIMEOUT_S)
