"""Whether central owns an object that exists here: nothing else is changed for central."""

from typing import Any

from neutron_lib.db import api as db_api

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.store.local import mapping


def is_owned(context: Any, kind: ResourceType, resource_id: str) -> bool:
    """Return whether central owns an object."""
    with db_api.CONTEXT_READER.using(context):
        return bool(mapping.find_known(context.session.connection(), kind, [resource_id]))


def check_owned(context: Any, kind: ResourceType, resource_id: str) -> None:
    """Refuse to change an object that the site owns.

    Raises:
        Conflict: it was created at this site.
    """
    if not is_owned(context, kind, resource_id):
        word = kind.value.replace("_", " ")
        raise errors.Conflict(f"{word} {resource_id} was made at this site, not at central")
