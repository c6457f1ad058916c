"""One attempt to install one machine: all that its files are made of."""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from isthmus.build.boot.place import Place
from isthmus.model.rack.machine import Machine


@dataclass(frozen=True, slots=True)
class Attempt:
    """A machine, and what it proves itself with."""

    place: Place
    machine: Machine
    token: str
    may_wipe: bool = False  #: its disk may be written though it holds something
    authorized_keys: tuple[str, ...] = ()

    @property
    def report(self) -> str:
        """Return the URL that its reports are sent to."""
        return f"{self.place.url}/api/report/{self.token}"

    @property
    def seed(self) -> str:
        """Return the URL that its files are below."""
        return f"{self.place.url}/api/seed/{self.token}"


def make_token(key: bytes, node: str, number: int) -> str:
    """Make the token of a machine's attempt; nobody can make it without the build's key.

    It is handed to whoever asks with the machine's MAC on the provisioning network, which is as far
    as a network boot can be trusted; it opens the reports and files of this one attempt.
    """
    digest = hmac.new(key, f"{node}/{number}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:20]).decode().lower()
