"""What other users of the machine may read of a lab: its `clouds.yaml`, as members of a group.

A copy in a folder beside the labs: the lab's own folder has databases and keys, which stay with who
made it.
"""

import contextlib
import os
import shutil
from pathlib import Path

from isthmus import errors

_FOLDER = ".shared"


def share(labs: Path, name: str, group: str, text: str) -> Path:
    """Let the members of a group read a lab's `clouds.yaml`, and nobody else.

    What another group was given before is taken back.

    Args:
        labs: folder of the labs.
        name: of the lab.
        group: of the machine's users.
        text: of the file.

    Returns:
        The copy that they read.

    Raises:
        Invalid: there is no such group.
        Refused: this user may not give files to it.
    """
    folder = labs / _FOLDER / name
    file = folder / "clouds.yaml"
    try:
        folder.parent.mkdir(mode=0o755, exist_ok=True)
        remove(labs, name)
        folder.mkdir(mode=0o700)
        file.touch(mode=0o600)
        file.write_text(text)
        for path, mode in ((file, 0o640), (folder, 0o750)):
            shutil.chown(path, group=group)
            path.chmod(mode)
    except LookupError as error:
        remove(labs, name)
        raise errors.Invalid(
            f"this machine has no group {group!r}; make one with: groupadd {group}"
        ) from error
    except PermissionError as error:
        remove(labs, name)
        raise errors.Refused(
            f"{folder} cannot be given to group {group!r}: become root, or choose a group that you "
            "are a member of"
        ) from error
    return file


def remove(labs: Path, name: str) -> None:
    """Take back what was shared of a lab, if anything was."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(labs / _FOLDER / name)


def find_shared(labs: Path) -> list[str]:
    """List the labs of which this user may read the shared `clouds.yaml`."""
    return sorted(
        file.parent.name
        for file in (labs / _FOLDER).glob("*/clouds.yaml")
        if os.access(file, os.R_OK)
    )


def find_file(labs: Path, name: str) -> Path | None:
    """Find the shared `clouds.yaml` of a lab, where this user may read it."""
    file = labs / _FOLDER / name / "clouds.yaml"
    return file if os.access(file, os.R_OK) else None
