"""A server that is held at a crash point while others go on."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from isthmus.journal import crash
from isthmus.testing.until import until


class Pause:
    """Holds one thread of a server; give `environment` to its start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    @property
    def environment(self) -> dict[str, str]:
        return {crash.PAUSE_FOLDER: str(self._folder)}

    @contextlib.contextmanager
    def during(self, point: str, work: Callable[[], Any]) -> Iterator[dict[str, Any]]:
        """Do some work and hold it at a point during the block; gives its `result` afterwards."""
        for name in (crash.GO, crash.PAUSED, crash.AT):
            (self._folder / name).unlink(missing_ok=True)
        done: dict[str, Any] = {}
        (self._folder / "new").write_text(point)
        (self._folder / "new").rename(self._folder / crash.AT)
        thread = threading.Thread(target=lambda: done.update(result=work()), daemon=True)
        thread.start()
        paused = self._folder / crash.PAUSED
        until(
            lambda: paused.exists() or not thread.is_alive(),
            timeout_s=120,
            what=f"paused at {point}",
        )
        assert paused.exists(), f"{point} was not passed: {done}"
        try:
            yield done
        finally:
            (self._folder / crash.GO).touch()
            thread.join(240)
        assert not thread.is_alive()

    @contextlib.contextmanager
    def offered(self, point: str) -> Iterator[Callable[[], bool]]:
        """Hold whoever comes by a point during the block, if anybody does; gives whether it is."""
        for name in (crash.GO, crash.PAUSED, crash.AT):
            (self._folder / name).unlink(missing_ok=True)
        (self._folder / "new").write_text(point)
        (self._folder / "new").rename(self._folder / crash.AT)
        paused = self._folder / crash.PAUSED
        try:
            yield paused.exists
        finally:
            (self._folder / crash.AT).unlink(missing_ok=True)
            if paused.exists():
                (self._folder / crash.GO).touch()
                until(lambda: not paused.exists(), timeout_s=60, what="it has gone on")
