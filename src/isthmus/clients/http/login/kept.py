"""A person's login, kept between commands in a file that nobody else may read.

A login costs Keystone the check of a password, which is slow on purpose. What is kept is the token
with its catalogue, for minutes (ADR 0075). Nothing here stops a command: a file that cannot be
read, or written, is a login more.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keystoneauth1 import access, exceptions
from keystoneauth1.identity.base import BaseIdentityPlugin
from typing_extensions import override

#: How long a login is used, in seconds: its catalogue and its roles are those of its moment.
LONGEST_S = 300
#: What names a login: addresses, names and ids, and no secret.
_NAMES = ("auth_url", "_id", "_name", "username", "system_scope")
#: scrypt's cost (RFC 7914): some milliseconds.
_COST = 2**11
#: Largest file that is read; a catalogue of hundreds of regions is smaller.
_MOST_BYTES = 4 * 2**20


def find_logins_dir() -> Path | None:
    """Return the folder in which a person's logins are kept; None for one who has no home."""
    said = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        cache = said if said.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return cache / "isthmus" / "logins"


class KeptLogin(BaseIdentityPlugin):
    """A login that begins with the token of an earlier command, if that is still good.

    keystoneauth asks for a new one where the token is about to expire, and once where a service
    rejects it.
    """

    def __init__(
        self,
        login: BaseIdentityPlugin,
        folder: Path | None,
        *,
        anew: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take up what is kept.

        Args:
            login: how to log in where nothing is.
            folder: where logins are kept; None for nowhere.
            anew: log in all the same; that login is kept.
            clock: gives the time of day, in seconds.
        """
        super().__init__(auth_url=login.auth_url)
        self._login = login
        self._clock = clock
        self._cache_id = login.get_cache_id()
        self._file = folder / f"{_name(login)}.json" if folder and self._cache_id else None
        kept = None if anew else self._find()
        self._is_kept = kept is not None
        if kept is not None:
            with contextlib.suppress(Exception):  # of a form that keystoneauth does not know
                self.set_auth_state(kept)
            self._is_kept = self.auth_ref is not None

    @override
    def get_auth_ref(self, session: Any, **kwargs: Any) -> access.AccessInfo:
        self._is_kept = False
        found = self._login.get_auth_ref(session, **kwargs)
        self.auth_ref = found
        self._keep()
        return found

    @override
    def invalidate(self) -> bool:
        """Forget the token, in the file as well."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()
        return bool(super().invalidate())

    @override
    def get_endpoint_data(self, session: Any, **kwargs: Any) -> Any:
        """Look in the catalogue; in a new one where an earlier command's has no such entry."""
        try:
            found = super().get_endpoint_data(session, **kwargs)
        except exceptions.CatalogException:
            if not self._is_kept:
                raise
            found = None
        if found is None and self._is_kept:
            self.invalidate()
            found = super().get_endpoint_data(session, **kwargs)
        return found

    @override
    def get_cache_id_elements(self) -> dict[str, str | None]:
        return dict(self._login.get_cache_id_elements())

    def _find(self) -> str | None:
        """Return what an earlier command has kept, if it is of this login and young enough."""
        try:
            body = json.loads(_read_own(self._file)) if self._file else None
            if body is None or not 0 <= self._clock() - body["at"] < LONGEST_S:
                return None
            proof = self._prove(bytes.fromhex(body["salt"]))
            return str(body["state"]) if hmac.compare_digest(proof, body["proof"]) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _keep(self) -> None:
        if self._file is None:
            return
        salt = secrets.token_bytes(16)
        body = {
            "at": self._clock(),
            "salt": salt.hex(),
            "proof": self._prove(salt),
            "state": self.get_auth_state(),
        }
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes a file of mode 0600; renamed, it is there as a whole or not at all.
            handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "w") as stream:
                    json.dump(body, stream)
                Path(name).replace(self._file)
            except OSError:
                Path(name).unlink(missing_ok=True)

    def _prove(self, salt: bytes) -> str:
        """Return what only one who knows the password can tell, and not the password."""
        secret = str(self._cache_id).encode()
        return hashlib.scrypt(secret, salt=salt, n=_COST, r=8, p=1).hex()


def _name(login: BaseIdentityPlugin) -> str:
    elements = login.get_cache_id_elements()
    named = {key: value for key, value in elements.items() if key.endswith(_NAMES)}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:32]


def _read_own(file: Path) -> str:
    """Read a file, if it is one of this user's that nobody else may read or write.

    Raises:
        OSError: it is not there, or not so.
    """
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as stream:
        seen = os.fstat(stream.fileno())
        if seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o077:
            raise PermissionError(f"{file} is open to others")
        return stream.read(_MOST_BYTES)
