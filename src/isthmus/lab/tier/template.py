"""Databases made once and copied ever after.

Building Keystone's and Neutron's schemas takes half a minute; copying the files takes milliseconds.
A template is kept under the state folder, under a key that changes with everything it was made of:
the versions of the programs, our own migrations, and for Keystone the users and the catalogue.
A template appears by a rename, so that a half-made one is never taken for a whole one.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import secrets
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from isthmus import errors
from isthmus.lab.protocols import Commands
from isthmus.services import render, seed
from isthmus.services.identity import USER_ADMIN, Identity

#: A first build on a busy machine; seconds.
BUILD_TIMEOUT_S = 900
KEYSTONE_DB = "keystone.db"
#: Beside it: the ids of its users, by name.
KEYSTONE_USERS = "users.json"
NEUTRON_DB = "neutron.db"
_PASSWORD_BYTES = 16


class Templates:
    """The cache of templates below one folder."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        """Keep templates in `folder`; build missing ones with `commands`."""
        self._folder = folder
        self._commands = commands

    def passwords(self, names: Sequence[str]) -> dict[str, str]:
        """Return each user's password, made at random the first time it is asked for.

        They are kept with the templates, because a template holds their hashes.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "passwords.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in names if name not in known]
        if missing:
            known |= {name: secrets.token_urlsafe(_PASSWORD_BYTES) for name in missing}
            part = file.with_suffix(f".{os.getpid()}")
            part.touch(mode=0o600)
            part.write_text(json.dumps(known, indent=1))
            part.rename(file)
        return {name: known[name] for name in names}

    def neutron(self) -> Path:
        """Return a Neutron database file: schema of Neutron and of ours, stamped, without rows."""
        key = digest(versions("neutron", "neutron-lib", "oslo-db"), digest_migrations())

        def build(folder: Path) -> None:
            url = render.sqlite_url(folder / NEUTRON_DB)
            python = [sys.executable, "-m", "isthmus.neutron.db.create", url]
            self._commands(python, timeout_s=BUILD_TIMEOUT_S)
            _prepare_sqlite(folder / NEUTRON_DB)

        return self.made(f"neutron-{key}", build) / NEUTRON_DB

    def keystone(self, identity: Identity) -> Path:
        """Return a folder with a seeded Keystone database and its keys."""
        plan = json.dumps(identity.to_dict(), sort_keys=True)
        admin = next(user.password for user in identity.users if user.name == USER_ADMIN)
        base = self._keystone_base(admin)

        def build(folder: Path) -> None:
            shutil.copytree(base, folder, dirs_exist_ok=True)
            conf = self._keystone_conf(folder)
            env = {
                "OS_KEYSTONE_CONFIG_FILES": str(conf),
                seed.ADMIN_PASSWORD: admin,
                seed.USERS_FILE: str(folder / KEYSTONE_USERS),
            }
            python = [sys.executable, "-m", "isthmus.services.seed"]
            self._commands(python, env=env, stdin=plan, timeout_s=BUILD_TIMEOUT_S)
            _prepare_sqlite(folder / KEYSTONE_DB)

        return self.made(f"keystone-{digest(base.name, plan)}", build)

    def _keystone_base(self, admin_password: str) -> Path:
        def build(folder: Path) -> None:
            conf = self._keystone_conf(folder)
            for keys in ("fernet", "credential"):
                (folder / keys).mkdir(mode=0o700)
            manage: list[str | Path] = [
                Path(sys.executable).with_name("keystone-manage"),
                "--config-file",
                conf,
            ]
            owner = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
            for step in (["db_sync"], ["fernet_setup", *owner], ["credential_setup", *owner]):
                self._commands([*manage, *step], timeout_s=BUILD_TIMEOUT_S)
            self._commands(
                [*manage, "bootstrap", "--bootstrap-service-name", "keystone"],
                env={"OS_BOOTSTRAP_PASSWORD": admin_password},
                timeout_s=BUILD_TIMEOUT_S,
            )
            _prepare_sqlite(folder / KEYSTONE_DB)

        key = digest(versions("keystone", "oslo-db"), admin_password)
        return self.made(f"keystone-base-{key}", build)

    @staticmethod
    def _keystone_conf(folder: Path) -> Path:
        conf = folder / "keystone.conf"
        database = render.sqlite_url(folder / KEYSTONE_DB)
        conf.write_text(
            render.render_keystone(render.KeystoneServer(database=database, keys_dir=folder))
        )
        return conf

    def made(self, name: str, build: Callable[[Path], None]) -> Path:
        """Return a template's folder; `build` fills a new one where there is none."""
        wanted = self._folder / name
        if wanted.exists():
            return wanted
        part = self._folder / f".{name}.{os.getpid()}"
        with _scratch(part):
            build(part)
            # Somebody else may have been quicker: then theirs is as good.
            with contextlib.suppress(OSError):
                part.rename(wanted)
        if not wanted.exists():
            raise errors.StepFailed(f"the template {wanted} could not be put in place")
        return wanted


def copy_database(source: Path, target: Path) -> None:
    """Copy a template's database file for a service to write to."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o600)


def read_users(keystone: Path) -> dict[str, str]:
    """Return the ids of the users of a template's Keystone, or of a copy, by name."""
    found: dict[str, str] = json.loads((keystone / KEYSTONE_USERS).read_text())
    return found


def copy_keystone(source: Path, target: Path, hosts: Mapping[str, str]) -> None:
    """Copy a template's Keystone for its services to use.

    Args:
        source: what `Templates.keystone` gave.
        target: a folder that is not there yet.
        hosts: addresses that take the place of names in the catalogue.
    """
    shutil.copytree(source, target)
    with contextlib.closing(sqlite3.connect(target / KEYSTONE_DB)) as connection, connection:
        for name, address in hosts.items():
            change = "UPDATE endpoint SET url = replace(url, ?, ?)"
            connection.execute(change, (f"//{name}:", f"//{address}:"))


def _prepare_sqlite(file: Path) -> None:
    """Leave the file in write-ahead mode, which it keeps, with nothing pending beside it."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def versions(*distributions: str) -> str:
    """Return the versions of installed distributions, as part of a template's name."""
    return ",".join(f"{name}={importlib.metadata.version(name)}" for name in distributions)


def digest_migrations() -> str:
    """Return a digest of the files that say what our own tables look like."""
    package = Path(__file__).parents[2]
    database = package / "neutron" / "db"
    sources = [
        package / "store" / "sql" / "tables.py",
        database / "models.py",
        database / "create.py",
    ]
    sources += sorted((database / "migration").rglob("*.py"))
    found = hashlib.sha256()
    for source in sources:
        found.update(source.read_bytes())
    return found.hexdigest()


def digest(*parts: str) -> str:
    """Return a short digest of what a template is made of."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
