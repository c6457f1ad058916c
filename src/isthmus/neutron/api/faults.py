"""The door between our errors and Neutron's.

Every class of our tree gets a Neutron exception whose type, which Neutron puts into the body of its
answer, is our dotted code, so that a caller in another tier rebuilds the very same error.
"""

import contextlib
from collections.abc import Iterator

import webob.exc
from neutron_lib import exceptions as n_exc
from neutron_lib.api import faults

from isthmus import errors

_HTTP = {
    400: webob.exc.HTTPBadRequest,
    404: webob.exc.HTTPNotFound,
    409: webob.exc.HTTPConflict,
    500: webob.exc.HTTPInternalServerError,
    501: webob.exc.HTTPNotImplemented,
    502: webob.exc.HTTPBadGateway,
    503: webob.exc.HTTPServiceUnavailable,
}


class Fault(n_exc.NeutronException):
    """One of our errors as Neutron's API shows it."""

    message = "%(reason)s"


def _make(kind: type[errors.IsthmusError]) -> type[Fault]:
    fault = type(kind.code, (Fault,), {"__doc__": kind.__doc__})
    faults.FAULT_MAP[fault] = _HTTP[errors.consequence(kind).http_status]
    return fault


#: Ours to Neutron's; filled once, when the plugin is loaded.
FAULTS: dict[type[errors.IsthmusError], type[Fault]] = {
    kind: _make(kind) for kind in errors.all_errors()
}


def to_fault(error: errors.IsthmusError) -> Fault:
    """Turn an error of ours into the one that Neutron's API answers with."""
    kind = next(kind for kind in type(error).__mro__ if kind in FAULTS)
    return FAULTS[kind](reason=error.message)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate our errors on the way out; stands at every method that the API calls.

    Raises:
        Fault: in the place of any error of ours.
    """
    try:
        yield
    except errors.IsthmusError as error:
        raise to_fault(error) from error


def from_neutron(error: Exception) -> errors.IsthmusError:
    """Turn an error of Neutron's into one of ours, for a result that travels in a body."""
    if isinstance(error, errors.IsthmusError):
        return error
    if isinstance(error, Fault):
        return errors.from_code(type(error).__name__, str(error))
    for kind, ours in (
        (n_exc.NotFound, errors.NotFound),
        (n_exc.InUse, errors.InUse),
        (n_exc.OverQuota, errors.OverQuota),
        (n_exc.IpAddressGenerationFailure, errors.Exhausted),
        (n_exc.Conflict, errors.Conflict),
        (n_exc.ServiceUnavailable, errors.Busy),
        (n_exc.BadRequest, errors.Invalid),
        (n_exc.NotAuthorized, errors.Refused),
        (n_exc.NeutronException, errors.Refused),
    ):
        if isinstance(error, kind):
            return ours(str(error))
    return errors.Broken(f"{type(error).__name__}: {error}")
