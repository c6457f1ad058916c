"""A client of one tier's Neutron API: JSON in, JSON or an error of ours out.

Used by processes that carry batches, which can wait a little and never need to guess: whatever
comes back is either the promised answer or an error whose class says what to do.
"""

import contextlib
import datetime
import email.utils
import re
from collections.abc import Iterator, Mapping
from typing import Any

import requests
from keystoneauth1 import adapter, exceptions, session
from typing_extensions import override

from isthmus import errors
from isthmus.clients.http.breaker import Breaker
from isthmus.clients.http.status import to_error
from isthmus.clients.http.transport import read_json

_URL = re.compile(r"https?://[^/\s]+")
_REASON = re.compile(r"\[Errno -?\d+\] ([^'\")]+)")


class NeutronClient:
    """One Neutron API; safe for threads."""

    def __init__(
        self,
        auth_session: session.Session,
        *,
        name: str,
        region: str,
        interface: str = "internal",
        endpoint: str | None = None,
        breaker: Breaker | None = None,
        for_person: bool = False,
    ) -> None:
        """Bind the client; nothing is called yet.

        Args:
            auth_session: a session that is logged in.
            name: what to call the other side in messages.
            region: its region in the catalogue.
            interface: which of its endpoints.
            endpoint: its address without /v2.0, instead of the catalogue's.
            breaker: the state of the link, so that many calls over one that is down cost one
                time-out; None where the caller waits between its calls by itself.
            for_person: whether a person waits. A login that Keystone does not accept is then a
                refusal; a service goes on trying, since somebody will mend the set-up.
        """
        self.name = name
        self._auth_session = auth_session
        self._for_person = for_person
        self._breaker = breaker
        self._adapter = open_adapter(auth_session, region, interface, endpoint)
        self._ahead = datetime.timedelta()

    def post(self, resource: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a resource in Neutron's envelope.

        Args:
            resource: its singular name, such as `site_apply`.
            body: its attributes.

        Returns:
            The attributes in the answer.

        Raises:
            Unreachable: nobody answered.
            TimedOut: no answer in time.
            IsthmusError: it was refused, or the answer is of no use.
        """
        path = collection_path(resource)
        return self.unwrap(resource, path, self.call("POST", path, body={resource: body}))

    def get_all(self, resource: str, **query: Any) -> list[Mapping[str, Any]]:
        """List resources, as many as the API gives at once.

        Args:
            resource: their singular name.
            query: filters, `fields`, `limit`, `marker` ...

        Raises:
            Unreachable: nobody answered.
            TimedOut: no answer in time.
            IsthmusError: it was refused, or the answer is of no use.
        """
        path = collection_path(resource)
        answer = self.call("GET", path, query=query)
        found = answer.get(_plural(resource)) if isinstance(answer, Mapping) else None
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            raise errors.ProtocolError(f"the answer of {self.name} to {path} has no list of rows")
        return found

    def has_endpoint(self) -> bool:
        """Return whether the catalogue has the region; nothing is called but Keystone.

        Raises:
            IsthmusError: nobody is logged in.
        """
        self._log_in()
        with self._asking_keystone():  # a catalogue that was kept is looked up anew
            try:
                return bool(self._adapter.get_endpoint())
            except (exceptions.EndpointNotFound, exceptions.CatalogException):
                return False

    def ask_keystone(self) -> None:
        """Find out whether Keystone answers at all: who has a token would not notice.

        Raises:
            Unreachable: nobody did.
            TimedOut: not in time.
        """
        auth = self._auth_session.auth
        url = getattr(auth, "auth_url", None)
        if not url:
            return
        options = {"authenticated": False, "raise_exc": False, "connect_retries": 0}
        with self._asking_keystone(), contextlib.suppress(errors.ProtocolError):  # an answer too
            response = self._auth_session.get(
                url, rate_semaphore=contextlib.nullcontext(), **options
            )
            if response.status_code >= requests.codes.server_error:
                raise errors.Unreachable(
                    f"Keystone answers with {response.status_code}: {url}; see that it runs"
                )

    def ping(self) -> None:
        """Find out whether anybody answers.

        Raises:
            Unreachable: nobody did.
            TimedOut: not in time.
        """
        self.call("GET", "/")

    def read_clock(self) -> datetime.datetime:
        """Return the time of the other side, to the second: its last answer told it.

        One that told none is taken to have this machine's.
        """
        return datetime.datetime.now(datetime.UTC) + self._ahead

    def _learn_time(self, response: requests.Response) -> None:
        """Note how far the clock of the other side is ahead of this machine's."""
        with contextlib.suppress(KeyError, ValueError, TypeError):
            then = email.utils.parsedate_to_datetime(response.headers["Date"])
            now = datetime.datetime.now(datetime.UTC)
            self._ahead = then.replace(tzinfo=then.tzinfo or datetime.UTC) - now

    def unwrap(self, resource: str, path: str, answer: Any) -> Mapping[str, Any]:
        """Unwrap a resource from Neutron's envelope.

        Raises:
            ProtocolError: it is not there.
        """
        found = answer.get(resource) if isinstance(answer, Mapping) else None
        if not isinstance(found, Mapping):
            raise errors.ProtocolError(f"the answer of {self.name} to {path} has no {resource}")
        return found

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make one call and return the JSON of the answer.

        Args:
            method: of HTTP.
            path: from the root of the API, such as `/v2.0/ports`.
            query: parameters of the URL.
            body: JSON to send.

        Raises:
            Unreachable: nobody answered.
            TimedOut: no answer in time.
            IsthmusError: it was refused, or the answer is of no use.
        """
        options: dict[str, Any] = {"params": query} if query else {}
        if body is not None:
            options["json"] = body
        if self._breaker is None:
            return _read(self._send(method, path, options), self.name, path)
        if not self._breaker.admits(probe=True):
            raise errors.Unreachable(self._breaker.why)
        try:
            response = self._send(method, path, options)
        except errors.Transient as error:
            self._breaker.failed(error.message)
            raise
        self._breaker.succeeded()
        return _read(response, self.name, path)

    def _send(self, method: str, path: str, options: dict[str, Any]) -> requests.Response:
        self._log_in()
        try:
            response: requests.Response = self._adapter.request(path, method, **options)
        except exceptions.ConnectTimeout as error:
            if _is_away(error):
                raise errors.Unreachable(f"{self.name} cannot be reached: {_why(error)}") from error
            raise errors.TimedOut(f"{self.name} gave no answer to {path} in time") from error
        except exceptions.ConnectionError as error:
            raise errors.Unreachable(f"{self.name} cannot be reached: {_why(error)}") from error
        except (exceptions.EndpointNotFound, exceptions.CatalogException) as error:
            said = f"{self.name} has no network endpoint in the catalogue: {error}"
            # What a person has written wrong waits for that person; a site may get its endpoint.
            raise (errors.Refused if self._for_person else errors.Unreachable)(said) from error
        except exceptions.ClientException as error:
            raise self._refuse_login(error) from error
        self._learn_time(response)
        return response

    def _log_in(self) -> None:
        """Get a token, if there is none that is still good; who fails here is Keystone."""
        if self._auth_session.auth is None:
            return
        with self._asking_keystone():
            self._auth_session.get_auth_headers()

    @contextlib.contextmanager
    def _asking_keystone(self) -> Iterator[None]:
        try:
            yield
        except exceptions.ConnectTimeout as error:
            if _is_away(error):
                raise self._miss_keystone(error) from error
            raise errors.TimedOut(
                f"Keystone gave no answer in time, so nobody is logged in for {self.name}"
                f"{_where(error)}; see that it runs"
            ) from error
        except (exceptions.ConnectionError, exceptions.DiscoveryFailure) as error:
            raise self._miss_keystone(error) from error
        except exceptions.ClientException as error:
            raise self._refuse_login(error) from error

    def _miss_keystone(self, error: Exception) -> errors.IsthmusError:
        return errors.Unreachable(
            f"Keystone cannot be reached, so nobody is logged in for {self.name}: {_why(error)}"
        )

    def _refuse_login(self, error: Exception) -> errors.IsthmusError:
        status = int(getattr(error, "http_status", None) or 0)
        if self._for_person and status in (requests.codes.unauthorized, requests.codes.forbidden):
            return to_error(
                status, {"message": str(error)}, name="Keystone", path=f"the login for {self.name}"
            )
        return errors.Unreachable(f"login for {self.name} failed: {error}")


def _is_away(error: Exception) -> bool:
    """Return whether nobody is there: keystoneauth has the same name for somebody too slow."""
    return isinstance(error.__context__, requests.exceptions.ConnectTimeout)


def _where(error: Exception) -> str:
    found = _URL.search(str(error))
    return f": {found[0]}" if found else ""


def _why(error: Exception) -> str:
    """Shorten what the HTTP library says of a connection that failed: where to, and the reason."""
    text = str(error)
    where, reason = _URL.search(text), _REASON.search(text)
    return f"{where[0]}: {reason[1]}" if where and reason else text


class _Adapter(adapter.Adapter):
    """An adapter that lets every request go out at once.

    keystoneauth's own limits the rate by the time of day, even where no rate is set: with a clock
    that was set back behind the start of the process each request would sleep until it has caught
    up (Source: `keystoneauth1._fair_semaphore.FairSemaphore`).
    """

    @override
    def request(self, url: str, method: str, **options: Any) -> Any:
        return super().request(url, method, rate_semaphore=contextlib.nullcontext(), **options)


def open_adapter(
    auth_session: session.Session, region: str | None, interface: str, endpoint: str | None
) -> adapter.Adapter:
    """Open the way to a Neutron API: what it answers comes back, and nothing is tried twice.

    Args:
        auth_session: a session that is logged in.
        region: where the catalogue has it.
        interface: which of its endpoints in the catalogue.
        endpoint: its address without /v2.0, instead of the catalogue's.
    """
    return _Adapter(
        session=auth_session,
        service_type="network",
        region_name=region,
        interface=interface,
        endpoint_override=endpoint,
        raise_exc=False,
        connect_retries=0,
    )


@contextlib.contextmanager
def promised(name: str) -> Iterator[None]:
    """Have what is missing in an answer, or of another form, raise an error that names who gave it.

    Args:
        name: what to call the other side. Read its answer inside, and nothing else.

    Raises:
        ProtocolError: it is not as it was promised.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"{name} answers in another form than it should: {error!r}"
        raise errors.ProtocolError(said) from error


def collection_path(resource: str) -> str:
    """Return the path of a resource's collection; hyphens in paths, underscores in bodies."""
    return f"/v2.0/{_plural(resource).replace('_', '-')}"


def _plural(resource: str) -> str:
    return f"{resource[:-1]}ies" if resource.endswith("y") else f"{resource}s"


def _read(response: requests.Response, name: str, path: str) -> Any:
    try:
        answer = read_json(response)
    except ValueError:
        answer = None
    if response.status_code >= 400:
        body = response.text if answer is None else answer
        raise to_error(response.status_code, body, name=name, path=path)
    if answer is None:
        raise errors.ProtocolError(f"the answer of {name} to {path} is not JSON")
    return answer
