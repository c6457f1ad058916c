"""A site's OVN databases with a real northd, in a folder of a test's own; needs no root."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Self

from isthmus import errors
from isthmus.clients.machine import shell
from isthmus.testing.until import until

_SCHEMAS = Path("/usr/share/ovn")
_PROGRAMS = ("ovsdb-server", "ovsdb-tool", "ovn-northd", "ovn-nbctl", "ovn-sbctl")


def missing_programs() -> list[str]:
    """List the programs that are not installed."""
    return [name for name in _PROGRAMS if shell.find_program(name) is None]


class OvnDatabases:
    """NB, SB and northd of one site, behind unix sockets."""

    def __init__(self, folder: Path, netns: str | None = None) -> None:
        """Choose where; nothing runs before `start`.

        Args:
            folder: for databases, sockets and logs; its path must be short (sockets: 107 bytes).
            netns: a named network namespace to run in.
        """
        self.folder = folder
        self.netns = netns
        self.nb_remote = f"unix:{folder}/nb.sock"
        self.sb_remote = f"unix:{folder}/sb.sock"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.start("nb")
            self.start("sb")
            self.nbctl("init")
            self.sbctl("init")
            self.start("northd")
        except errors.IsthmusError:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything that still runs."""
        for name in ("northd", "sb", "nb"):
            self.kill(name)

    def start(self, name: str) -> None:
        """Start "nb", "sb" or "northd"; a database that is not there is made."""
        common = [
            "--detach",
            "--no-chdir",
            f"--pidfile={self.folder}/{name}.pid",
            f"--log-file={self.folder}/{name}.log",
            f"--unixctl={self.folder}/{name}.ctl",
        ]
        if name == "northd":
            argv = [
                "ovn-northd",
                *common,
                f"--ovnnb-db={self.nb_remote}",
                f"--ovnsb-db={self.sb_remote}",
            ]
        else:
            database = self.folder / f"{name}.db"
            if not database.exists():
                schema = _SCHEMAS / f"ovn-{name}.ovsschema"
                shell.run(["ovsdb-tool", "create", database, schema])
            argv = ["ovsdb-server", *common, f"--remote=punix:{self.folder}/{name}.sock"]
            argv.append(str(database))
        shell.run(argv, netns=self.netns)

    def kill(self, name: str) -> None:
        """Kill one of them, as a crash would; nothing happens where it does not run."""
        pidfile = self.folder / f"{name}.pid"
        if pidfile.exists():
            pid = int(pidfile.read_text())
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until(lambda: _is_gone(pid), what=f"the end of {name}")
            pidfile.unlink()

    def wipe(self, name: str) -> None:
        """Delete a database that does not run."""
        (self.folder / f"{name}.db").unlink()

    def nbctl(self, *words: str) -> str:
        """Run ovn-nbctl."""
        return shell.run(["ovn-nbctl", f"--db={self.nb_remote}", "-t10", *words]).stdout.strip()

    def sbctl(self, *words: str) -> str:
        """Run ovn-sbctl."""
        return shell.run(["ovn-sbctl", f"--db={self.sb_remote}", "-t10", *words]).stdout.strip()


def _is_gone(pid: int) -> bool:
    """Tell whether a process has let go of its files; its parent may not have noticed yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in {"Z", "X"}
