"""What somebody else makes while it is being made here: it is in its own way.

Neutron finds the very object wherever it looks whether it may make it: its row is there, its
address and its MAC are taken, its range overlaps itself.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from neutron_lib import exceptions as n_exc

from isthmus import errors
from isthmus.neutron.db import guard
from isthmus.neutron.local.resource.row import LocalResource


@contextlib.contextmanager
def made_once(row: LocalResource, plugin: Any, context: Any, resource_id: str) -> Iterator[None]:
    """Make an object that was not there, unless somebody else has made it meanwhile.

    Args:
        row: of its resource.
        plugin: the plugin that serves the resource.
        context: an administrator's, with no transaction open.
        resource_id: id of the object.

    Raises:
        Overtaken: it is there; what is wanted is to be compared with it.
    """
    try:
        yield
    except Exception as error:
        refused = isinstance(error, n_exc.NeutronException) or guard.is_collision(error)
        if not refused or row.find(plugin, context, resource_id) is None:
            raise
        raise errors.Overtaken(
            f"{row.kind} {resource_id} was made by another request meanwhile"
        ) from error
