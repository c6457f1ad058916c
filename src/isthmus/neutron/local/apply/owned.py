"""Whether central owns an object that exists here: nothing else is touched for central."""

from typing import Any

from neutron_lib.db import api as db_api

from isthmus import errors
from isthmus.model.resource import ResourceType
from isthmus.neutron.local.resource.row import LocalResource
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


def remove_owned(
    row: LocalResource, plugin: Any, context: Any, resource_id: str, *, in_use: type[Exception]
) -> None:
    """Remove an object of central's, if it exists; idempotent.

    Args:
        row: of its resource.
        plugin: the plugin that serves the resource.
        context: an administrator's, with no transaction open.
        resource_id: id of the object.
        in_use: how Neutron refuses to delete one that is in use.

    Raises:
        InUse: something of this site still needs it.
        Conflict: it was created at this site.
    """
    if row.find(plugin, context, resource_id) is None:
        return
    check_owned(context, row.kind, resource_id)
    try:
        getattr(plugin, f"delete_{row.resource.member}")(context, resource_id)
    except row.not_found:
        pass
    except in_use as error:
        word = row.kind.value.replace("_", " ")
        raise errors.InUse(f"{word} {resource_id} is in use at this site: {error}") from error
