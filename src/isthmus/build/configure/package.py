"""What machines and Ansible get of Isthmus: the collection, the lock and the wheel."""

import hashlib
import zipfile
from pathlib import Path

import isthmus
from isthmus import errors

_MODULE = "isthmus/__init__.py"


def find_collections() -> Path:
    """Return the folder in which the collection `isthmus.site` is: installed, or in a clone."""
    package = Path(isthmus.__file__).parent
    places = (package.parent, package.parents[1])
    return next(
        (one for one in places if (one / "ansible_collections/isthmus").is_dir()), places[0]
    )


def find_playbook(name: str) -> Path:
    """Return a playbook of the collection."""
    return find_collections() / f"ansible_collections/isthmus/site/playbooks/{name}.yml"


def package_variables(wheel: Path) -> dict[str, str]:
    """Return what the roles are told of the packages that services run from.

    Raises:
        NotFound: there is no such wheel.
        Invalid: it is not a wheel of Isthmus.
    """
    if not wheel.is_file():
        raise errors.NotFound(f"there is no wheel {wheel}: pip wheel --no-deps . makes one")
    if not zipfile.is_zipfile(wheel) or _MODULE not in zipfile.ZipFile(wheel).namelist():
        raise errors.Invalid(f"{wheel} is not a wheel of isthmus: it has no {_MODULE}")
    return {
        "environment_lock": str(Path(__file__).with_name("requirements.lock")),
        "environment_wheel": str(wheel.resolve()),
        "isthmus_wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
