"""Has Neutron log our answers of 503 in one line, and each of them once."""

import logging
from typing import Any

from neutron_lib import exceptions as n_exc

from isthmus import errors
from isthmus.neutron.api.faults import FAULTS, Fault
from isthmus.neutron.api.log.outages import OneLine, Outages

#: Neutron's loggers that write answers of 500 and more: of its own resources, and of extensions'.
LOGGERS = ("neutron.pecan_wsgi.hooks.translation", "neutron.api.v2.resource")
_STATUS = 503
#: Where an exception is made that is not one of `FAULTS`, and ours all the same.
_OURS = __name__.partition(".")[0] + "."


def describe(error: BaseException | None) -> str | None:
    """Describe an error if it is a 503 of ours, or several that all are; else None."""
    if isinstance(error, n_exc.MultipleExceptions):
        found = [describe(one) for one in error.inner_exceptions]
        said = [one for one in found if one is not None]
        return "; ".join(dict.fromkeys(said)) if said and len(said) == len(found) else None
    if isinstance(error, Fault):
        kind = next((kind for kind, fault in FAULTS.items() if fault is type(error)), None)
        if kind is None or errors.consequence(kind).http_status != _STATUS:
            return None
        return f"{kind.__name__}: {error}".replace("\n", " ")
    if isinstance(error, n_exc.ServiceUnavailable) and type(error).__module__.startswith(_OURS):
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    return None


_INSTALLED = OneLine(Outages(), describe)


def install() -> None:
    """Filter Neutron's loggers; idempotent."""
    for name in LOGGERS:
        logger: Any = logging.getLogger(name)
        if _INSTALLED not in logger.filters:
            logger.addFilter(_INSTALLED)
