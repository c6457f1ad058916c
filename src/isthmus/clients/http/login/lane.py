"""Logins of the worker: each lane as a user that no other tier knows.

A site's database knows the hash of whoever logs in there; a user of two sites would let one act as
the worker at the other.
"""

from typing import Any

from keystoneauth1 import exceptions
from oslo_config import cfg

from isthmus import errors
from isthmus.clients.http.transport import Timeouts, closed_session, find_login, open_session

#: What is raised of options that make no login.
_NO_LOGIN = (cfg.Error, exceptions.ClientException, ValueError)


class LaneLogins:
    """The sessions of one worker."""

    def __init__(self, conf: Any, own_group: str, timeouts: Timeouts) -> None:
        """Read whose login is central's; no session is opened yet.

        Args:
            conf: the opened configuration, for keystoneauth's options.
            own_group: whose options log in at central.
            timeouts: for every call.

        Raises:
            Invalid: they make no login.
        """
        self._conf = conf
        self._timeouts = timeouts
        try:
            self._central = open_session(conf, own_group, timeouts)
            self._groups: dict[object, str] = {find_login(conf, own_group): own_group}
        except _NO_LOGIN as error:
            raise errors.Invalid(f"[{own_group}] makes no login: {error}") from error

    def open_central(self) -> Any:
        """Log in at central."""
        return self._central

    def open_lane(self, site: str, group: str) -> Any:
        """Log in for one site; never as a user that another tier knows as well.

        Options that make no login are that site's alone: each call to it says so.

        Args:
            site: what to call it in messages.
            group: whose options say how.
        """
        try:
            return self._open_lane(site, group)
        except _NO_LOGIN as error:
            return closed_session(f"[{group}] makes no login: {error}")

    def _open_lane(self, site: str, group: str) -> Any:
        login = find_login(self._conf, group)
        if login is None:
            return closed_session(f"[{group}] has no auth_type: it needs a user for {site} alone")
        other = self._groups.setdefault(login, group)
        if other != group:
            return closed_session(f"[{group}] and [{other}] name one user: each needs its own")
        return open_session(self._conf, group, self._timeouts)
