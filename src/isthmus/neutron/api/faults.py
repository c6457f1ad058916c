"""Translates our errors into Neutron's.

Every class of our tree gets a Neutron exception whose type, which Neutron puts into the body of its
answer, is our dotted code, so that a caller in another tier rebuilds the same error.
"""

import contextlib
from collections.abc import Iterator

import webob.exc
from neutron.plugins.ml2.common import exceptions as ml2_exc
from neutron_lib import exceptions as n_exc
from neutron_lib.api import faults
from neutron_lib.exceptions import l3_ext_gw_multihoming as multihoming_exc
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from isthmus import errors

#: Limit of the database's own text that is passed on, in characters.
_MOST_OF_SQL = 200

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
    """Return the exception with which Neutron's API answers one of our errors."""
    kind = next(kind for kind in type(error).__mro__ if kind in FAULTS)
    return FAULTS[kind](reason=error.message)


#: Neutron's own that it answers 500: gateways that are not as the request says, or are just being
#: changed by somebody else.
faults.FAULT_MAP.update(
    dict.fromkeys(
        (
            multihoming_exc.UnableToAddExtraGateways,
            multihoming_exc.UnableToMatchGateways,
            multihoming_exc.UnableToRemoveGateways,
        ),
        webob.exc.HTTPConflict,
    )
)
#: A text that no database takes: JSON may name half of a surrogate pair, UTF-8 has none.
faults.FAULT_MAP[db_exc.DBInvalidUnicodeParameter] = webob.exc.HTTPBadRequest


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate our errors at the boundary of a method that the API calls.

    Neutron itself looks whether what is named exists, or is in use, before the transaction that
    refers to it, or deletes it; then the database refuses, and Neutron would answer 500.

    Raises:
        Fault: in place of any error of ours, and of a foreign key that does not hold.
    """
    try:
        yield
    except errors.IsthmusError as error:
        raise to_fault(error) from error
    except db_exc.DBReferenceError as error:
        raise to_fault(
            errors.Conflict(
                "what is named has just been deleted, or what is deleted has just come into use "
                f"(table {error.table}, key {error.key})"
            )
        ) from error


def from_any(error: Exception) -> errors.IsthmusError:
    """Return the error of ours that any exception means for an item of a batch.

    What the database or a driver failed to do may work later; a value that the database refuses, or
    a row that collides, will not by itself. An unforeseen error (a `KeyError`) is a plain `Broken`,
    which is retried a few times: an object may have been deleted in between. `ProtocolError` is
    raised where the form has been checked.
    """
    # SQLAlchemy's own exceptions too: not every statement runs where oslo.db translates.
    if isinstance(error, db_exc.DBError | db_exc.RetryRequest | sa_exc.OperationalError):
        return _from_database(error)
    if isinstance(error, n_exc.MultipleExceptions):
        return _from_several(error)
    return from_neutron(error)


def _from_database(error: Exception) -> errors.IsthmusError:
    text = str(error).partition("\n")[0][:_MOST_OF_SQL]
    if isinstance(error, db_exc.DBDataError | db_exc.DBInvalidUnicodeParameter):
        return errors.Invalid(f"the database does not take a value: {text}")
    if isinstance(error, db_exc.DBDuplicateEntry | db_exc.DBReferenceError):
        return errors.Conflict(f"it collides with another row: {text}")
    return errors.Busy(f"the database cannot do it now: {text}")


def _from_several(error: n_exc.MultipleExceptions) -> errors.IsthmusError:
    """Return the error for several of drivers or callbacks: a refusal stays one, with its reason.

    Any other failure of a driver may pass; one of a callback is what its first error is.
    """
    inner = error.inner_exceptions
    for one in inner:
        if isinstance(one, errors.IsthmusError):
            return one
        if isinstance(one, n_exc.BadRequest | n_exc.Conflict | n_exc.NotAuthorized):
            return from_neutron(one)
    if inner and not isinstance(error, ml2_exc.MechanismDriverError):
        return from_any(inner[0])
    reasons = "; ".join(str(one) or type(one).__name__ for one in inner) or str(error)
    return errors.Busy(f"OVN cannot do it now: {reasons}")


def from_neutron(error: Exception) -> errors.IsthmusError:
    """Return the error of ours for one of Neutron's, for a result in a body."""
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
