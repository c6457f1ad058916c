"""Many inventories at once: files, and folders that stand for all files in them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus import errors
from isthmus.facts.source import document
from isthmus.model.host.host_inventory import HostInventory


def read_inventories(
    paths: Sequence[Path], read_text: Callable[[Path], str]
) -> tuple[list[HostInventory], list[str]]:
    """Read the inventories of files and folders.

    Args:
        paths: files, and folders; hidden files of a folder are left out.
        read_text: reads one file.

    Returns:
        The inventories, and one sentence for each file that describes no host.
    """
    found: list[HostInventory] = []
    faults: list[str] = []
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_dir() or file.name.startswith("."):
                continue
            try:
                found += document.parse_inventories(read_text(file), name=file.stem)
            except errors.IsthmusError as exc:
                faults.append(f"{file}: {exc.message}")
    return found, faults
