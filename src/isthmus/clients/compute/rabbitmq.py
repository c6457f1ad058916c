"""RabbitMQ's management API: vhosts, users, and how busy its queues are."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests

from isthmus import errors
from isthmus.model.compute.adding import CellServers
from isthmus.model.compute.load import QueueLoad

_EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
_MISSING = 404
_REFUSED = frozenset({401, 403})


class RabbitManagement:
    """The management API of a RabbitMQ, as its administrator."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Set where it is.

        Args:
            url: http://USER:PASSWORD@HOST:PORT.
            timeout_s: for each answer.

        Raises:
            Invalid: it is no such URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.username:
            raise errors.Invalid("RabbitMQ's management is not given as http://USER:PASSWORD@HOST")
        self._place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._login = (unquote(parts.username), unquote(parts.password or ""))
        self._timeout_s = timeout_s

    def is_there(self, url: str) -> bool:
        """Tell whether the vhost and the user of a URL are there, with their permission.

        Raises:
            Unreachable: the API does not answer.
        """
        _, user, vhost, _ = _parse(url)
        return all(
            self._call("GET", path) is not None
            for path in (f"vhosts/{vhost}", f"users/{user}", f"permissions/{vhost}/{user}")
        )

    def is_any_there(self, url: str) -> bool:
        """Tell whether the vhost or the user is there.

        Raises:
            Unreachable: the API does not answer.
        """
        _, user, vhost, _ = _parse(url)
        paths = (f"vhosts/{vhost}", f"users/{user}")
        return any(self._call("GET", path) is not None for path in paths)

    def ensure(self, url: str) -> None:
        """Make the vhost and the user of a URL.

        Raises:
            Unreachable: the API does not answer.
        """
        _, user, vhost, password = _parse(url)
        self._call("PUT", f"vhosts/{vhost}", {})
        self._call("PUT", f"users/{user}", {"password": password, "tags": ""})
        self._call("PUT", f"permissions/{vhost}/{user}", _EVERYTHING)

    def drop(self, url: str) -> None:
        """Delete the vhost and the user of a URL.

        Raises:
            Unreachable: the API does not answer.
        """
        _, user, vhost, _ = _parse(url)
        self._call("DELETE", f"vhosts/{vhost}")
        self._call("DELETE", f"users/{user}")

    def get(self, path: str) -> Any:
        """Return what the API says of a path.

        Raises:
            NotFound: there is no such thing.
            Unreachable: it does not answer.
        """
        found = self._call("GET", path)
        if found is None:
            raise errors.NotFound(f"RabbitMQ has no {unquote(path)}")
        return found

    def read_load(self, url: str, before: QueueLoad | None = None) -> QueueLoad:
        """Read how loaded it is, and what waits in the vhost of a URL.

        Args:
            url: of a cell's queue.
            before: what was read earlier; what waited then is kept.

        Raises:
            NotFound: there is no such vhost.
            Unreachable: the API does not answer.
        """
        vhost = quote_vhost(url)
        nodes: list[dict[str, Any]] = self.get("nodes")
        own = self.get(f"vhosts/{vhost}")
        waiting = sum(int(one.get("messages_ready", 0)) for one in self.get(f"queues/{vhost}"))
        rate = own.get("message_stats", {}).get("publish_details", {}).get("rate", 0.0)
        memory = max(nodes, key=lambda one: one.get("mem_used", 0) / (one.get("mem_limit") or 1))
        files = max(nodes, key=lambda one: one.get("fd_used", 0) / (one.get("fd_total") or 1))
        return QueueLoad(
            server=str(self.get("cluster-name")["name"]),
            memory=int(memory.get("mem_used", 0)),
            most_memory=int(memory.get("mem_limit", 0)),
            files=int(files.get("fd_used", 0)),
            most_files=int(files.get("fd_total", 0)),
            alarms=tuple(
                f"{word} of {one['name']}"
                for one in nodes
                for word, key in (("memory", "mem_alarm"), ("disk", "disk_free_alarm"))
                if one.get(key)
            ),
            waiting=waiting,
            waiting_before=before.waiting if before else waiting,
            messages_s=float(rate),
        )

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """Make a call; None where there is no such thing."""
        try:
            answer = requests.request(
                method,
                f"{self._place}/api/{path}",
                json=body,
                auth=self._login,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except requests.exceptions.RequestException as error:
            raise errors.Unreachable(
                f"RabbitMQ's management API at {self._place} does not answer "
                f"({type(error).__name__}): enable the plugin rabbitmq_management there"
            ) from error
        if answer.status_code == _MISSING:
            return None
        if answer.status_code in _REFUSED:
            raise errors.Refused(
                f"RabbitMQ's management API at {self._place} does not let {self._login[0]} do "
                "that: the user needs the tag administrator"
            )
        if not answer.ok:
            raise errors.StepFailed(
                f"RabbitMQ's management API answered {answer.status_code} to {method} "
                f"{unquote(path)}: {answer.text[:200]}"
            )
        return answer.json() if answer.content else {}


def _parse(url: str) -> tuple[str, str, str, str]:
    """Return host, user and vhost, quoted for a path, and the password of a transport URL."""
    parts = urlsplit(url)
    first = parts.netloc.split(",")[0]
    login, _, host = first.rpartition("@")
    user, _, password = login.partition(":")
    vhost = unquote(parts.path.removeprefix("/")) or "/"
    return host, quote(unquote(user), safe=""), quote(vhost, safe=""), unquote(password)


def find_management(url: str, servers: Iterable[CellServers]) -> str | None:
    """Find the management API of the RabbitMQ that a transport URL leads to.

    Args:
        url: of a cell's queue.
        servers: RabbitMQs with theirs.
    """
    there = {one.rpartition("@")[2] for one in urlsplit(url).netloc.split(",")}
    for one in servers:
        if there & {each.strip() for each in one.queue.split(",")}:
            return one.management
    return None


def quote_vhost(url: str) -> str:
    """Return the vhost of a transport URL as it stands in a path of the API."""
    return _parse(url)[2]
