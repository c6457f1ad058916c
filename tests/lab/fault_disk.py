"""Disks of tiers of a lab that are small enough to be filled, and that break as a real one does."""

import errno
import subprocess
from collections.abc import Sequence
from pathlib import Path

from isthmus.testing.until import until

#: A lab's databases take some 5 MiB of it.
_SIZE = 64 << 20


class Disks:
    """For each tier a file system of its own, mounted where its databases will be."""

    def __init__(self, lab: Path, tiers: Sequence[str], images: Path) -> None:
        """Prepare; nothing is mounted before `mount`.

        Args:
            lab: folder of a lab that is not up yet.
            tiers: their names.
            images: folder for what stands for the disks.
        """
        self._places = {name: lab / "tier" / name for name in tiers}
        self._images = images

    def mount(self) -> None:
        """Make the disks and mount them."""
        for name, place in self._places.items():
            place.mkdir(parents=True)
            image = self._images / f"{name}.img"
            with image.open("wb") as file:
                file.truncate(_SIZE)
            # Without a journal it is read-only once it has failed, and can be mended.
            _run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image)
            self._mount(name)

    def _mount(self, name: str) -> None:
        image = self._images / f"{name}.img"
        _run("mount", "-o", "loop,errors=remount-ro", image, self._places[name])

    def unmount(self) -> None:
        """Unmount them; who still runs there keeps what it has open."""
        for place in self._places.values():
            if place.is_mount():
                _run("umount", "--lazy", place)

    def fill(self, tier: str) -> None:
        """Leave no byte."""
        with (self._places[tier] / "fill").open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 10, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self, tier: str) -> None:
        """Give back what `fill` took."""
        (self._places[tier] / "fill").unlink()

    def fail(self, tier: str) -> None:
        """Have the kernel meet an error of the file system, which it makes read-only by that."""
        loop = _run("findmnt", "-n", "-o", "SOURCE", self._places[tier]).strip()
        Path("/sys/fs/ext4", Path(loop).name, "trigger_fs_error").write_text("1")

    def mend(self, tier: str) -> None:
        """Check the file system and mount it anew; who uses it has been killed."""
        place = self._places[tier]
        until(lambda: _ends_well("umount", place), what=f"nobody uses {place}", timeout_s=60)
        # 1: errors were corrected, which is what it is for.
        _run("e2fsck", "-f", "-y", self._images / f"{tier}.img", good=(0, 1))
        self._mount(tier)


def _ends_well(*words: str | Path) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _run(*words: str | Path, good: Sequence[int] = (0,)) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in good, f"{words}: {done.stderr}{done.stdout}"
    return done.stdout
