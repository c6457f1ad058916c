"""A canary: a server that is built on one host to prove its cell, and deleted again."""

import re
import time
from dataclasses import dataclass
from typing import Any

from keystoneauth1 import adapter, exceptions

from isthmus import errors

#: The version of Nova's API that takes `host` (2.74); networks may be none since 2.37.
_VERSION = "2.74"
_POLL_S = 0.5
_NAME = "isthmus-canary"
_ENDED = frozenset({"ACTIVE", "ERROR"})
_MISSING = 404
#: What Nova says where the scheduler finds no host. One that was opened a moment ago is none yet:
#: its nova-compute says so in the inventory when it looks at its resources next, once a minute.
_NO_HOST = "No valid host"
_AGAIN_S = 5.0


class _NoHost(Exception):
    """The scheduler has not found the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryServer:
    """What the canary is: by name or id."""

    flavor: str
    image: str
    network: str = ""  #: id; empty for a server without a network


class CanaryClient:
    """Builds the canary by Nova's API."""

    def __init__(
        self, compute: adapter.Adapter, image: adapter.Adapter, server: CanaryServer, wait_s: float
    ) -> None:
        """Bind it.

        Args:
            compute: Nova's API, as an administrator.
            image: Glance's.
            server: what to build.
            wait_s: how long to wait for it.
        """
        compute.default_microversion = _VERSION
        self._compute = compute
        self._image = image
        self._server = server
        self._wait_s = wait_s

    def prove(self, host: str) -> str:
        """Have a server built on a host, and delete it; return how it went.

        Raises:
            NotFound: there is no such flavor or image.
            StepFailed: it was not built; the reason is Nova's own.
            TimedOut: it was neither built nor failed in time.
        """
        name = f"{_NAME}-{host}"
        deadline = time.monotonic() + self._wait_s
        try:
            while True:
                self._remove_all(name)
                try:
                    return self._build(name, host)
                except _NoHost as refusal:
                    if time.monotonic() > deadline:
                        raise errors.StepFailed(str(refusal)) from refusal
                finally:
                    self._remove_all(name)
                time.sleep(_AGAIN_S)
        except exceptions.HttpError as error:
            raise errors.StepFailed(f"Nova does not take the canary: {error.message}") from error
        except exceptions.ClientException as error:
            raise errors.Unreachable(f"Nova's API does not answer: {error}") from error

    def _build(self, name: str, host: str) -> str:
        wanted = self._server
        body = {
            "name": name,
            "flavorRef": self._find(self._compute, "/flavors", "flavors", wanted.flavor),
            "imageRef": self._find(self._image, "/v2/images", "images", wanted.image),
            "networks": [{"uuid": wanted.network}] if wanted.network else "none",
            "host": host,
        }
        began = time.monotonic()
        uuid = self._compute.post("/servers", json={"server": body}).json()["server"]["id"]
        while True:
            server = self._compute.get(f"/servers/{uuid}").json()["server"]
            took = time.monotonic() - began
            if server["status"] == "ACTIVE":
                return f"a server was built on {host} in {took:.1f} s"
            if server["status"] in _ENDED:
                why = server.get("fault", {}).get("message", "Nova does not say why").strip()
                sentence = f"the canary was not built on {host}: {why}"
                raise _NoHost(sentence) if _NO_HOST in why else errors.StepFailed(sentence)
            if took > self._wait_s:
                raise errors.TimedOut(
                    f"the canary on {host} is {server['status']} after {took:.0f} s: see the log "
                    "of its nova-compute and of the cell's conductor"
                )
            time.sleep(_POLL_S)

    @staticmethod
    def _find(api: adapter.Adapter, path: str, key: str, name: str) -> str:
        rows: list[dict[str, Any]] = api.get(path).json()[key]
        found = [row["id"] for row in rows if name in {row["id"], row.get("name")}]
        if not found:
            raise errors.NotFound(f"there is no {key.removesuffix('s')} {name!r}")
        return str(found[0])

    def _remove_all(self, name: str) -> None:
        """Delete what this or an earlier command built, and wait until it is gone."""
        query = {"all_tenants": "1", "name": f"^{re.escape(name)}$"}
        left = self._compute.get("/servers", params=query).json()["servers"]
        for row in left:
            self._compute.delete(f"/servers/{row['id']}", raise_exc=False)
        deadline = time.monotonic() + self._wait_s
        while left := [one for one in left if not self._is_gone(one["id"])]:
            if time.monotonic() > deadline:
                raise errors.TimedOut(f"the canary {name} is not deleted yet: see to that")
            time.sleep(_POLL_S)

    def _is_gone(self, uuid: str) -> bool:
        answer = self._compute.get(f"/servers/{uuid}", raise_exc=False)
        return bool(answer.status_code == _MISSING)
