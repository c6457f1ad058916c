"""What both extensions share: their plugin type, and resources made of attribute maps."""

from typing import Any

from neutron.api.v2 import resource_helper

from isthmus.neutron.api import request_body
from isthmus.neutron.api.attributes import Attributes

#: Aliases: which of the two a server has tells which tier it is.
CENTRAL_ALIAS = "isthmus"
LOCAL_ALIAS = "isthmus-local"
#: Plugin type, as in `neutron_lib.plugins.directory`.
PLUGIN_TYPE = "ISTHMUS"
#: Extension loaders print it.
UPDATED = "2026-11-01T00:00:00-00:00"


def build_resources(
    resources: dict[str, Attributes], actions: dict[str, dict[str, str]] | None = None
) -> list[Any]:
    """Return Neutron's resources of attribute maps; paths have hyphens, bodies underscores."""
    plurals = resource_helper.build_plural_mappings({}, resources)
    found = list(
        resource_helper.build_resource_info(
            plurals, resources, PLUGIN_TYPE, action_map=actions, translate_name=True
        )
    )
    for one in found:
        one.controller = request_body.bounded(one.controller)
    return found
