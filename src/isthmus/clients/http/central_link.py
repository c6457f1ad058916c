"""The link to central: a site's calls go out by it, and it knows whether it is cut.

Every call that a person waits for ends soon: a connection that is not accepted within two seconds
counts as a cut WAN, and while it counts as cut a tenant's call fails at once (`breaker`). Reports
and registrations are waited for, as long as the link is there. All of these calls may be made twice
with no harm, so a pooled connection that central has closed meanwhile is simply tried again.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import requests
from keystoneauth1 import exceptions, session

from isthmus import errors
from isthmus.clients.http.breaker import Breaker
from isthmus.clients.http.login.on_behalf import OnBehalf
from isthmus.clients.http.neutron import collection_path, open_adapter
from isthmus.clients.http.status import to_error
from isthmus.clients.http.transport import patient, read_json

#: A connection that breaks sooner than this after the call began was a stale one from the pool.
_STALE_S = 0.2
#: How long central may take over a report, or over a registration of all that the site has, in
#: seconds. One that was given up sooner would be sent again while central still works on it: a busy
#: central would have twice the work, and a registration would never come to an end.
_SLOW_S = 300.0
#: Calls that are heard of one incarnation of a site alone.
_FENCED = frozenset({"site_bundle", "site_lease_request", "site_report"})
#: A call that Neutron answers to whoever is logged in: its Keystone answers, too.
_SMALL = "/v2.0/extensions/isthmus"


class CentralLink:
    """One login at central, and the way there; safe for threads."""

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
        self.person = person  #: gives the token of the person for whom this thread works
        self._clock = clock
        self._own = auth_session.auth
        self._adapter = open_adapter(auth_session, region, interface, endpoint)

    def ping(self) -> None:
        """Find out whether central answers, where the link counts as down.

        Raises:
            Unreachable, TimedOut: it still does not, or it is too soon to try.
        """
        if self.breaker.open:
            with contextlib.suppress(errors.Refused):  # an answer, whatever it says
                self.call("GET", "/", None, probe=True)

    def check(self) -> None:
        """Ask for a small answer, for which Neutron and Keystone of central have to work.

        Raises:
            Unreachable, TimedOut: central did not answer, or it is too soon to try.
            IsthmusError: it does not take the site's login.
        """
        self.call("GET", _SMALL, None, probe=True)

    def post(
        self,
        resource: str,
        body: Mapping[str, Any],
        *,
        probe: bool,
        token: str | None = None,
        slow: bool = False,
        speaks: str | None = None,
    ) -> Mapping[str, Any]:
        """Send a body of ours; once more where central wants the site to register first.

        Args:
            resource: the name of the body, and of the answer.
            body: without its incarnation, which is added where central is to know it.
            probe: whether the caller has time to find out that the link is down.
            token: of the person for whom it is sent; None for the site itself.
            slow: whether central may take minutes for it.
            speaks: the incarnation that it speaks for; None for the one of now.

        Returns:
            What is under that name in the answer.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        path = collection_path(resource)
        if slow:
            self.ping()  # it would be waited for in vain where the link is known to be down
        send = partial(self.call, "POST", path, probe=probe, token=token, slow=slow)

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
                    self.call("GET", _SMALL, None, probe=True)
            raise
        found = answer.get(resource) if isinstance(answer, Mapping) else None
        if not isinstance(found, Mapping):
            raise errors.ProtocolError(f"central's answer to {path} has no {resource}")
        return found

    def call(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        probe: bool,
        token: str | None = None,
        slow: bool = False,
    ) -> Any:
        """Make one call, unless the link is down; learn from it whether it is.

        Args:
            method: GET or POST.
            path: from the root of Neutron's endpoint.
            body: what is sent as JSON; None for nothing.
            probe: whether the caller has time to find out that the link is down.
            token: of the person for whom it is made; None for the site itself.
            slow: whether silence may mean that central is still at work on it.

        Returns:
            What central answers.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
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
