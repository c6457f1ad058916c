"""Central as a site calls it: bundles, lease requests and reports over Neutron's API.

Every call that a person waits for ends soon: a connection that is not accepted within two seconds
counts as a cut WAN, and while it counts as cut a tenant's call fails at once (`breaker`). Reports
and registrations are waited for, as long as the link is there. All of these calls may be made twice
with no harm, so a pooled connection that central has closed meanwhile is simply tried again.
"""

import contextlib
import hashlib
import json
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
from keystoneauth1 import exceptions, session

from isthmus import errors
from isthmus.clients.http.breaker import Breaker
from isthmus.clients.http.neutron import collection_path, open_adapter
from isthmus.clients.http.on_behalf import OnBehalf
from isthmus.clients.http.status import blame, to_error
from isthmus.clients.http.transport import patient, read_json
from isthmus.model.item import Item, ItemResult, read_results

#: A connection that breaks sooner than this after the call began was a stale one from the pool.
_STALE_S = 0.2
#: Longest text of a call of a registration, in characters; central takes parts of this length.
_MOST_TEXT = 1 << 20
#: How long central may take over a report, or over a registration of all that the site has, in
#: seconds. One that was given up sooner would be sent again while central still works on it: a busy
#: central would have twice the work, and a registration would never come to an end.
_SLOW_S = 300.0
#: Calls that are heard of one incarnation of a site alone.
_FENCED = frozenset({"site_bundle", "site_lease_request", "site_report"})
#: A call that Neutron answers to whoever is logged in: its Keystone answers, too.
_SMALL = "/v2.0/extensions/isthmus"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What central gives for use at this site."""

    items: list[Item]  #: in the order in which they are made; none of what the asker may not see
    refused: dict[str, errors.IsthmusError]  #: by id: seen, but not to be had at this site


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """What a site holds of a pool, by central's word."""

    leases: list[Mapping[str, Any]]  #: the state of each lease
    resting: frozenset[int]  #: of the numbers asked about, those that must not be used yet
    elsewhere: frozenset[int] = frozenset()  #: those that ports of other sites have


class CentralClient:
    """The calls that a site makes; safe for threads."""

    def __init__(
        self,
        auth_session: session.Session,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        interface: str = "internal",
        breaker: Breaker | None = None,
        person: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind the client.

        Args:
            auth_session: a session that is logged in as the site.
            endpoint: central's Neutron without /v2.0; None to look it up in the catalogue.
            region: central's region in the catalogue.
            interface: which endpoint of the catalogue.
            breaker: the state of the link.
            person: gives the token of the person for whom this thread works, if there is one.
            clock: gives seconds that only grow.
        """
        self.breaker = breaker or Breaker()
        #: Tells which incarnation of the site speaks; None where calls do not say.
        self.incarnation: Callable[[], str | None] = lambda: None
        #: Called when central wants the site to register first; tells whether to call again.
        self.when_unregistered: Callable[[bool], bool] = lambda _: False
        self.calls = 0  #: how many calls went out, for tests
        self._person = person
        self._clock = clock
        self._own = auth_session.auth
        self._adapter = open_adapter(auth_session, region, interface, endpoint)

    def ask_bundle(
        self,
        kind: str,
        ids: Sequence[str],
        *,
        show_only: bool = False,
    ) -> Bundle:
        """Request objects with everything that they need at this site, on behalf of a user.

        Central trusts the user's own token, which is sent along; where this thread works for
        nobody, it returns what the site is entitled to by itself.

        Args:
            kind: their type.
            ids: their ids.
            show_only: only show ports: extend nothing, move no home.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        body = {"type": kind, "ids": list(ids), "show_only": show_only}
        answer = self._post("site_bundle", body, probe=False, token=self._person())
        refused = answer.get("refused") or []
        return Bundle(
            items=[Item.from_dict(one) for one in _list(answer, "items")],
            refused={
                str(one["id"]): errors.from_code(str(one["code"]), str(one["message"]))
                for one in refused
            },
        )

    def ask_mac(self, network_id: str, mac: str, port_id: str | None) -> bool:
        """Return whether another port of a network has a MAC.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        body = {
            "type": "network",
            "ids": [network_id],
            "show_only": True,
            "mac_address": mac,
            "port_id": port_id,
        }
        return bool(self._post("site_bundle", body, probe=False).get("mac_in_use"))

    def list_shown(
        self, path: str, query: Sequence[tuple[str, str]]
    ) -> list[Mapping[str, Any]] | None:
        """List what central's own API shows to the user for whom this thread works.

        Args:
            path: of a collection, such as `/v2.0/networks`.
            query: filters.

        Returns:
            What that user may see; None where this thread works for nobody.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        token = self._person()
        if token is None:
            return None
        asked = f"{path}?{urllib.parse.urlencode(query)}"
        answer = self._call("GET", asked, None, probe=False, token=token)
        lists = [one for one in answer.values() if isinstance(one, list)] if answer else []
        if len(lists) != 1:
            raise errors.ProtocolError(f"central's answer to {path} is not one list")
        return lists[0]

    def request_leases(  # noqa: PLR0913 - what a request says
        self,
        kind: str,
        pool_id: str,
        *,
        count: int = 0,
        address: str | None = None,
        give_back: Sequence[str | Mapping[str, str]] = (),
        news: Mapping[str, Sequence[Any]] | None = None,
        probe: bool = False,
        speaks: str | None = None,
    ) -> LeaseAnswer:
        """Request more numbers of a pool or one address, and give blocks back.

        Args:
            kind: a `PoolKind`.
            pool_id: the subnet's or network's id.
            count: how many more numbers are wanted.
            address: an address whose block is wanted.
            give_back: parts of leases that the site no longer uses: `lease`, the id under which it
                was granted, `first` and `last`.
            news: `resting`, numbers at rest with their former ports; `answered`, leases of which
                central asked something back and has what is idle.
            probe: whether the caller has time to find out that the link is down.
            speaks: the incarnation of the database in which the caller has read what it says; None
                where that comes from no database. Another one may have what this one gives back.

        Returns:
            The states of every lease of the pool that the site now holds, and which of the numbers
            at rest must not be used.

        Raises:
            Conflict: the pool is exhausted, or the address is another's.
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        body = {
            "kind": kind,
            "pool_id": pool_id,
            "count": count,
            "address": address,
            "give_back": list(give_back),
            **{name: list(ids) for name, ids in (news or {}).items()},
        }
        answer = self._post("site_lease_request", body, probe=probe, speaks=speaks)
        return LeaseAnswer(
            _list(answer, "leases"), _numbers(answer, "resting"), _numbers(answer, "elsewhere")
        )

    def send_reports(self, items: Sequence[Item], *, sequence: int) -> list[ItemResult]:
        """Report objects of this site to central; return a result for each that it has reached.

        Args:
            items: at most 25.
            sequence: number of the batch in the lane.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused the batch, or its answer is of no use.
        """
        body = {"sequence": sequence, "items": [item.to_dict() for item in items]}
        try:
            answer = self._post("site_report", body, probe=True, slow=True)
        except errors.Unreachable as error:
            raise blame(error, lambda: self._call("GET", _SMALL, None, probe=True)) from error
        return read_results(answer.get("results"), items)

    def register(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Register this site: its incarnation and, if central asks, its own state.

        What is too long for one call goes ahead in parts; central takes them all with this one.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        left = self._send_ahead(body)
        names = left.get("leases") is not None or "parts" in left
        answer = self._post("site_registration", left, probe=True, slow=names)
        missing = {"registration", "epoch", "restored", "register", "heard", "proof", "seen"} - set(
            answer
        )
        if missing:
            raise errors.ProtocolError(f"central's answer has no {', '.join(sorted(missing))}")
        for name in ("void", "leases", "port_keys", "aside"):
            _list(answer, name)
        return answer

    def _send_ahead(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send what of a registration is too long for one call; return what is left for the last.

        The digest of the whole says which parts belong together. So one may come twice, and two
        processes may send theirs at once.
        """
        lists = {name: one for name, one in body.items() if isinstance(one, list | dict)}
        text = json.dumps(lists, separators=(",", ":"))
        if len(text) <= _MOST_TEXT:
            return body
        digest = hashlib.sha256(text.encode()).hexdigest()
        starts = range(0, len(text), _MOST_TEXT)
        for number, start in enumerate(starts):
            part = {"digest": digest, "number": number, "text": text[start : start + _MOST_TEXT]}
            self._post("site_registration", {"epoch": body["epoch"], "part": part}, probe=True)
        left = {name: one for name, one in body.items() if name not in lists}
        return {**left, "parts": {"digest": digest, "count": len(starts)}}

    def ping(self) -> None:
        """Find out whether central answers, where the link counts as down.

        Raises:
            Unreachable, TimedOut: it still does not, or it is too soon to try.
        """
        if self.breaker.open:
            with contextlib.suppress(errors.Refused):  # an answer, whatever it says
                self._call("GET", "/", None, probe=True)

    def check(self) -> None:
        """Ask for a small answer, for which Neutron and Keystone of central have to work.

        Raises:
            Unreachable, TimedOut: central did not answer, or it is too soon to try.
            IsthmusError: it does not take the site's login.
        """
        self._call("GET", _SMALL, None, probe=True)

    def _post(
        self,
        resource: str,
        body: Mapping[str, Any],
        *,
        probe: bool,
        token: str | None = None,
        slow: bool = False,
        speaks: str | None = None,
    ) -> Mapping[str, Any]:
        path = collection_path(resource)
        if slow:
            self.ping()  # it would be waited for in vain where the link is known to be down
        send = partial(self._call, "POST", path, probe=probe, token=token, slow=slow)

        def call() -> Any:
            said = speaks or (self.incarnation() if resource in _FENCED else None)
            with patient(path, _SLOW_S) if slow else contextlib.nullcontext():
                return send({resource: {**body, "incarnation": said} if said else body})

        try:
            answer = call()
        except errors.Unregistered:
            if not self.when_unregistered(not slow):
                raise
            answer = call()
        except errors.TimedOut:
            if slow:  # whether anybody is there, a small call tells
                with contextlib.suppress(errors.IsthmusError):
                    self._call("GET", _SMALL, None, probe=True)
            raise
        found = answer.get(resource) if isinstance(answer, Mapping) else None
        if not isinstance(found, Mapping):
            raise errors.ProtocolError(f"central's answer to {path} has no {resource}")
        return found

    def _call(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        probe: bool,
        token: str | None = None,
        slow: bool = False,
    ) -> Any:
        if not self.breaker.admits(probe=probe):
            raise errors.Unreachable("central cannot be reached", detail=self.breaker.why)
        self.calls += 1
        try:
            response = self._send(method, path, body, token)
        except errors.Transient as error:
            if not (slow and isinstance(error, errors.TimedOut)):
                self.breaker.failed(str(error.fields.get("detail", error.message)))
            raise
        self.breaker.succeeded()
        if token and response.status_code == requests.codes.unauthorized:
            # It was good here a moment ago, so central has not heard of it, or it ran out just now.
            raise errors.Busy("central does not take the token of this request: log in again")
        return _read(response, path)

    def _send(self, method: str, path: str, body: Any, token: str | None) -> requests.Response:
        began = self._clock()
        options = {"auth": OnBehalf(self._own, token)} if token else {}
        while True:
            try:
                answer: requests.Response = self._adapter.request(
                    path, method, json=body, **options
                )
                return answer
            except exceptions.ConnectTimeout as error:
                raise errors.TimedOut("central gave no answer in time", detail=path) from error
            except exceptions.ConnectionError as error:
                if began is not None and self._clock() - began < _STALE_S:
                    began = float("-inf")
                    continue
                raise errors.Unreachable("central cannot be reached", detail=str(error)) from error
            except (exceptions.EndpointNotFound, exceptions.CatalogException) as error:
                raise errors.StepFailed(f"central is not in the catalogue: {error}") from error
            except exceptions.HttpError as error:
                raise _refuse(error.http_status or 500, {"message": str(error)}, "login") from error
            except exceptions.ClientException as error:
                raise errors.StepFailed(f"login at central failed: {error}") from error


def _read(response: requests.Response, path: str) -> Any:
    try:
        answer = read_json(response)
    except ValueError as error:
        if response.status_code >= 400:
            raise _refuse(response.status_code, response.text, path) from error
        raise errors.ProtocolError(f"central's answer to {path} is not JSON") from error
    if response.status_code < 400:
        return answer
    raise _refuse(response.status_code, answer, path)


def _refuse(status: int, answer: Any, path: str) -> errors.IsthmusError:
    """Make the error of an answer; a site goes on while central is out of order."""
    return to_error(status, answer, name="central", path=path, can_wait=True)


def _numbers(answer: Mapping[str, Any], name: str) -> frozenset[int]:
    try:
        return frozenset(int(one) for one in answer.get(name, ()))
    except (OverflowError, TypeError, ValueError) as error:
        raise errors.ProtocolError(f"central's answer has no numbers as {name}") from error


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise errors.ProtocolError(f"central's answer has no list of {name}")
    return found
