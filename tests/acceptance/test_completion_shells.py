"""Completion in the shells themselves: set up by a person's command, asked by the Tab key."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.shell import Shell, small_cloud

from isthmus.testing.needed import skip_without

#: The command as a person has it; a machine that is busy takes longer than a person may wait.
PROGRAM = f"""#!/bin/sh
exec {shlex.quote(sys.executable)} -c '
from isthmus.cli import complete, main
complete.ANSWER_S = 600
main.run()' "$@"
"""
#: How long a shell may take, in seconds, before the test fails.
PATIENCE_S = 120
SHELLS = ("bash", "zsh", "fish")


class Person(Shell):
    """Somebody with a home of their own, who uses one shell."""

    def settle(self, folder: Path, shell: str) -> None:
        """Set up completion from the shell, as the page says."""
        self.shell = shell
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "isthmus").write_text(PROGRAM)
        (bin_folder / "isthmus").chmod(0o755)
        self.environment |= {
            "HOME": str(folder),
            "ZDOTDIR": str(folder),
            "XDG_CONFIG_HOME": str(folder / ".config"),
            "XDG_DATA_HOME": str(folder / ".local"),
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }
        # A shell that has nothing left to do becomes the command, and would not be found.
        words = [shell, "-c", "isthmus --install-completion; true"]
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=True
        )
        assert f"{shell} completion installed" in done.stdout, done.stdout + done.stderr

    def press_tab(self, line: str, wanted: str) -> str:
        """Type a line and Tab twice into the shell at a terminal; return what it shows then.

        Args:
            line: what is typed.
            wanted: what it is expected to show; it is waited for.
        """
        terminal, inner = pty.openpty()
        # Not `pty.fork`: what other tests of this process have imported is none of the shell's.
        words = ["setsid", "--ctty", self.shell, "-i"]
        shell = subprocess.Popen(
            words, stdin=inner, stdout=inner, stderr=inner, env=self.environment
        )
        os.close(inner)
        try:
            self._read(terminal, "")
            os.write(terminal, b"echo re''ady\n")
            self._read(terminal, "ready")
            os.write(terminal, line.encode() + b"\t")
            seen = self._read(terminal, wanted, again=b"\t")
        finally:
            os.close(terminal)
            shell.wait(PATIENCE_S)
        return seen

    def _read(self, terminal: int, wanted: str, again: bytes = b"") -> str:
        """Read what the shell shows, until something is among it; press a key again meanwhile."""
        seen, deadline = "", time.monotonic() + PATIENCE_S
        while not seen or wanted not in seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{wanted!r} is not shown: {seen!r}"
            if select.select([terminal], [], [], min(left, 3.0))[0]:
                seen += os.read(terminal, 65536).decode(errors="replace")
            elif again:
                os.write(terminal, again)
        return seen


@pytest.fixture(params=SHELLS)
def person(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Person]:
    skip_without([] if shutil.which(request.param) else [request.param])
    with small_cloud() as cloud:
        someone = Person(tmp_path, cloud)
        for site in ("paris", "prague"):
            someone.run("site", "create", site)
        someone.settle(tmp_path, request.param)
        yield someone


def test_names_of_the_cloud_are_offered_at_a_terminal(person: Person) -> None:
    if person.shell == "fish":  # whose own command says what Tab would show
        words = ["fish", "-c", "complete -C 'isthmus site show p'"]
        done = subprocess.run(
            words, env=person.environment, capture_output=True, text=True, check=True
        )
        assert [one.split("\t")[0] for one in done.stdout.splitlines()] == ["paris", "prague"]
        return
    seen = person.press_tab("isthmus site show p", "prague")
    assert "paris" in seen
    # One that fits alone is completed in the line.
    assert "paris" in person.press_tab("isthmus site show pari", "paris")


def test_nouns_and_verbs_are_offered(person: Person) -> None:
    if person.shell == "fish":
        words = ["fish", "-c", "complete -C 'isthmus event '; complete -C 'isthmus sit'"]
        done = subprocess.run(
            words, env=person.environment, capture_output=True, text=True, check=True
        )
        assert [one.split("\t")[0] for one in done.stdout.splitlines()] == ["list", "site"]
        return
    assert "refused" in person.press_tab("isthmus job ", "refused")
