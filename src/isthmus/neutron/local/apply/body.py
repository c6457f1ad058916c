"""Turns an object as Neutron's API shows it into a request body that creates the same object."""

from collections.abc import Collection, Mapping
from typing import Any

from neutron_lib.api import attributes


def make_body(collection: str, state: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """Return a create body: the wanted attributes, and Neutron's defaults for the rest.

    Args:
        collection: the plural, as in Neutron's attribute map.
        state: the object; attributes that this server does not know are left out.
        wanted: the attributes to take over. One whose value is None gets the default, because an
            API that shows None for "not set" seldom accepts it.

    Raises:
        InvalidInput: of Neutron; a value is malformed.
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
    """Return those of the wanted attributes that this server knows."""
    known = attributes.RESOURCES[collection]
    return {name: state[name] for name in wanted if name in known and name in state}
