"""Passwords of a build: made at random once, kept as variables that ansible-vault encrypted."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import yaml

from isthmus import errors
from isthmus.clients.build.ansible import UTF8, own_path
from isthmus.clients.machine import shell

#: The variable in which the roles find them.
VARIABLE = "isthmus_passwords"
_BYTES = 24
_NAMED_KEY = "ANSIBLE_VAULT_PASSWORD_FILE"


def choose_key(folder: Path) -> Path:
    """Return the file with the vault's own password: one that was named, or the build's."""
    named = os.environ.get(_NAMED_KEY)
    return Path(named).resolve() if named else folder / "vault-password"


def ensure_key(folder: Path, file: Path) -> Path:
    """Make the file with the vault's own password, where there is none; only we may read it.

    Args:
        folder: of the build, for Ansible.
        file: the encrypted passwords.

    Raises:
        NotFound: the key is gone with which they are encrypted, or was named and is not there.
    """
    key = choose_key(folder)
    if key.exists():
        return key
    if file.exists() or key.parent != folder:
        raise errors.NotFound(f"there is no {key}, with which {file} is encrypted")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whole or not at all: what is encrypted with half a key is lost with it.
    part = key.with_name(f".{key.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text(secrets.token_urlsafe(_BYTES) + "\n")
    part.rename(key)
    return key


def ensure_passwords(file: Path, names: Sequence[str], key: Path) -> bool:
    """Have a password for each name; those that there are stay.

    Args:
        file: the encrypted file.
        names: whose.
        key: the file with the vault's own password.

    Returns:
        Whether any was made.

    Raises:
        Inconsistent: the file holds no passwords.
        StepFailed: it cannot be opened with this key.
    """
    known = _read(file, key) if file.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= {name: secrets.token_urlsafe(_BYTES) for name in missing}
        text = yaml.safe_dump({VARIABLE: known}, sort_keys=True)
        part = file.with_name(f".{file.name}.part")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Through a pipe: in no list of processes, and in no file that is not encrypted.
        _run(["ansible-vault", "encrypt", "--output", part, "-"], key, text)
        part.rename(file)
    return bool(missing)


def _read(file: Path, key: Path) -> dict[str, str]:
    found = yaml.safe_load(_run(["ansible-vault", "view", file], key))
    if not isinstance(found, dict) or not isinstance(found.get(VARIABLE), dict):
        raise errors.Inconsistent(f"{file} does not hold {VARIABLE}")
    return {str(name): str(value) for name, value in found[VARIABLE].items()}


def _run(words: Sequence[str | Path], key: Path, stdin: str | None = None) -> str:
    # As an option it would be one more key where the operator has named one.
    env = {"PATH": own_path(), _NAMED_KEY: str(key), **UTF8}
    try:
        return shell.run(words, stdin=stdin, env=env).stdout
    except errors.Unsupported as exc:
        raise errors.Unsupported(f"{exc}: pip install 'isthmus[build]'") from exc
