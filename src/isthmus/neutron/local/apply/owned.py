"""Whether an object that is here already is central's: nothing else is touched for central."""

from typing import Any

from neutron_lib.db import api as db_api

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.store.local import mapping


def is_owned(context: Any, kind: ResourceType, resource_id: str) -> bool:
    """Tell whether an object is central's."""
    with db_api.CONTEXT_READER.using(context):
        return bool(mapping.find_known(context.session.connection(), kind, [resource_id]))


def check_owned(context: Any, kind: ResourceType, resource_id: str) -> None:
    """Refuse to touch an object of the site's own.

    Raises:
        Conflict: it was made at this site.
    """
    if not is_owned(context, kind, resource_id):
        word = kind.value.replace("_", " ")
        raise errors.Conflict(f"{word} {resource_id} was made at this site, not at central")
