"""From an object as Neutron's API shows it to a request body that makes the same object."""

from collections.abc import Collection, Mapping
from typing import Any

from neutron_lib.api import attributes


def make_body(collection: str, state: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """Pick what a create may say and fill in Neutron's defaults for the rest.

    Args:
        collection: the plural, as in Neutron's attribute map.
        state: the object; what this server's extensions do not know of it is left out.
        wanted: the attributes to take over. One whose value is None is left to the default, since
            an API that shows None for "not set" seldom takes it back.

    Raises:
        InvalidInput: of Neutron; a value is not well formed.
    """
    known = attributes.RESOURCES[collection]
    body = {name: state[name] for name in wanted if name in known and state.get(name) is not None}
    body["id"] = state["id"]
    body["project_id"] = state.get("project_id") or ""
    attributes.populate_project_info(body)
    info = attributes.AttributeInfo(known)
    info.fill_post_defaults(body, check_allow_post=False)
    info.convert_values(body)
    return body


def pick_known(
    collection: str, state: Mapping[str, Any], wanted: Collection[str]
) -> dict[str, Any]:
    """Pick the attributes that this server knows."""
    known = attributes.RESOURCES[collection]
    return {name: state[name] for name in wanted if name in known and name in state}
