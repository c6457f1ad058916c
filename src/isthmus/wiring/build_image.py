"""Images and ramdisks: what `isthmus build image` and `ramdisk` call."""

from collections.abc import Callable
from pathlib import Path

from isthmus.clients.build import image as images
from isthmus.clients.build import ramdisk as ramdisks


def make_image(
    recipe: images.Recipe,
    to: Path,
    *,
    ramdisk: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:
    """Build an image with its manifest.

    Args:
        recipe: what it is made of.
        to: the folder for NAME.raw and NAME.json.
        ramdisk: folder in which to make the deploy ramdisk out of the same system; None: none.
        say: told of each step.

    Raises:
        Unsupported: mmdebstrap or another program is missing.
        StepFailed: a step failed.
    """
    return images.build_image(recipe, to, ramdisk=ramdisk, say=say)


def make_recipe(
    name: str, *, suite: str, size_mib: int, packages: tuple[str, ...], kernel_line: str
) -> images.Recipe:
    """Return what an image is made of.

    Args:
        name: of the image.
        suite: release of Debian.
        size_mib: of the disk.
        packages: those beside the ones that every image has.
        kernel_line: arguments of its kernel.
    """
    return images.Recipe(
        name=name, suite=suite, size_mib=size_mib, packages=packages, kernel_line=kernel_line
    )


def make_ramdisk(root: Path, to: Path, *, version: str = "") -> Path:
    """Build the deploy ramdisk out of a system's files.

    Raises:
        NotFound: it has no kernel, or no static busybox.
        Conflict: it has several kernels, and none is named.
    """
    return ramdisks.build_ramdisk(root, to, version=version)
