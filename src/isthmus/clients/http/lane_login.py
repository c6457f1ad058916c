"""Logins of the worker: each lane as a user that no other tier knows.

A site's database knows the hash of whoever logs in there; a user of two sites would let one act as
the worker at the other.
"""

from typing import Any

from isthmus.clients.http.transport import Timeouts, closed_session, find_login, open_session


class LaneLogins:
    """The sessions of one worker."""

    def __init__(self, conf: Any, own_group: str, timeouts: Timeouts) -> None:
        """Read whose login is central's; no session is opened yet.

        Args:
            conf: the opened configuration, for keystoneauth's options.
            own_group: whose options log in at central.
            timeouts: for every call.
        """
        self._conf = conf
        self._timeouts = timeouts
        self._own_group = own_group
        self._groups: dict[object, str] = {find_login(conf, own_group): own_group}

    def open_central(self) -> Any:
        """Log in at central."""
        return open_session(self._conf, self._own_group, self._timeouts)

    def open_lane(self, site: str, group: str) -> Any:
        """Log in for one site; never as a user that another tier knows as well.

        Args:
            site: what to call it in messages.
            group: whose options say how.
        """
        login = find_login(self._conf, group)
        if login is None:
            return closed_session(f"[{group}] has no auth_type: it needs a user for {site} alone")
        other = self._groups.setdefault(login, group)
        if other != group:
            return closed_session(f"[{group}] and [{other}] name one user: each needs its own")
        return open_session(self._conf, group, self._timeouts)
