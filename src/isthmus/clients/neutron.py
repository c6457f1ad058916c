"""A door to one tier's Neutron API: JSON in, JSON or an error of ours out.

Used by processes that carry batches, which can wait a little and never need to guess: whatever
comes back is either the promised answer or an error whose class says what to do.
"""

from collections.abc import Mapping
from typing import Any

import requests
from keystoneauth1 import adapter, exceptions, session

from isthmus import errors

#: What an answer's status means for the call as a whole; the rest are `ProtocolError`.
_BY_STATUS: dict[int, type[errors.IsthmusError]] = {
    400: errors.Invalid,
    401: errors.Refused,
    403: errors.Refused,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TimedOut,  # too much at once has the same cure as too slow: half of it
    429: errors.Busy,
    500: errors.StepFailed,
    501: errors.Unsupported,
    502: errors.Unreachable,
    503: errors.Unreachable,
    504: errors.TimedOut,
}


class NeutronDoor:
    """One Neutron API; safe for threads."""

    def __init__(
        self,
        wire: session.Session,
        *,
        name: str,
        region: str,
        interface: str = "internal",
        endpoint: str | None = None,
    ) -> None:
        """Bind the door; nothing is called yet.

        Args:
            wire: a session that is logged in.
            name: what to call the other side in messages.
            region: its region in the catalogue.
            interface: which of its endpoints.
            endpoint: its address without /v2.0, instead of the catalogue's.
        """
        self.name = name
        self._adapter = adapter.Adapter(
            session=wire,
            service_type="network",
            region_name=region,
            interface=interface,
            endpoint_override=endpoint,
            raise_exc=False,
            connect_retries=0,
        )

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
        path = _path(resource)
        answer = self._call(path, "POST", json={resource: body})
        found = answer.get(resource) if isinstance(answer, Mapping) else None
        if not isinstance(found, Mapping):
            raise errors.ProtocolError(f"the answer of {self.name} to {path} has no {resource}")
        return found

    def get_all(self, resource: str, **query: Any) -> list[Mapping[str, Any]]:
        """List resources.

        Args:
            resource: their singular name.
            query: filters.

        Raises:
            Unreachable: nobody answered.
            TimedOut: no answer in time.
            IsthmusError: it was refused, or the answer is of no use.
        """
        path = _path(resource)
        answer = self._call(path, "GET", params=query)
        found = answer.get(_plural(resource)) if isinstance(answer, Mapping) else None
        if not isinstance(found, list):
            raise errors.ProtocolError(f"the answer of {self.name} to {path} has no list")
        return found

    def knock(self) -> None:
        """Find out whether anybody answers.

        Raises:
            Unreachable: nobody did.
            TimedOut: not in time.
        """
        self._call("/", "GET")

    def _call(self, path: str, method: str, **options: Any) -> Any:
        try:
            response = self._adapter.request(path, method, **options)
        except exceptions.ConnectTimeout as error:
            # keystoneauth has one name for two things: nobody there, and somebody too slow.
            if isinstance(error.__context__, requests.exceptions.ConnectTimeout):
                raise errors.Unreachable(f"{self.name} cannot be reached: {error}") from error
            raise errors.TimedOut(f"{self.name} gave no answer to {path} in time") from error
        except exceptions.ConnectionError as error:
            raise errors.Unreachable(f"{self.name} cannot be reached: {error}") from error
        except (exceptions.EndpointNotFound, exceptions.CatalogException) as error:
            raise errors.Unreachable(
                f"{self.name} has no network endpoint in the catalogue: {error}"
            ) from error
        except exceptions.ClientException as error:
            raise errors.Unreachable(f"login for {self.name} failed: {error}") from error
        return _read(response, self.name, path)


def _path(resource: str) -> str:
    return f"/v2.0/{_plural(resource).replace('_', '-')}"


def _plural(resource: str) -> str:
    return f"{resource[:-1]}ies" if resource.endswith("y") else f"{resource}s"


def _read(response: requests.Response, name: str, path: str) -> Any:
    if response.status_code < 400:
        try:
            return response.json() if response.content else {}
        except ValueError as error:
            raise errors.ProtocolError(f"the answer of {name} to {path} is not JSON") from error
    kind = _BY_STATUS.get(response.status_code, errors.ProtocolError)
    raise kind(f"{name} answered {response.status_code} to {path}: {_reason(response)}")


def _reason(response: requests.Response) -> str:
    """Find the sentence in a Neutron error."""
    try:
        answer = response.json()
    except ValueError:
        return response.text[:200]
    fault = answer.get("NeutronError", answer) if isinstance(answer, Mapping) else answer
    if isinstance(fault, Mapping):
        inner = fault.get("message") or fault.get("error") or fault
        fault = inner.get("message", inner) if isinstance(inner, Mapping) else inner
    return str(fault)
