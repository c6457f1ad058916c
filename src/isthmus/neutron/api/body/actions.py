"""Checks the bodies of actions of resources (`PUT /v2.0/address-groups/ID/add_addresses`).

Neutron compares the body of a create or an update with its attribute map. That of an action it
hands to the plugin as it came, and both fail where they look for what is not there: a 500. Here
each body is checked for what they take for granted, and for no more: what Neutron refuses by
itself, or takes, it goes on to refuse and to take.
"""

from collections.abc import Callable, Mapping
from typing import Any

import netaddr
from neutron.api.v2 import base

from isthmus import errors
from isthmus.neutron.api.faults import to_fault

#: Returns what is wrong with a value, "" where nothing is.
_Form = Callable[[Any], str]


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else f"{repr(value)[:100]} is not a text"


def _plain(value: Any) -> str:
    return f"{repr(value)[:100]} is a list or an object" if isinstance(value, list | dict) else ""


def _flag(value: Any) -> str:
    return "" if value in (True, False) else f"{repr(value)[:100]} is neither true nor false"


def _parsed(parse: Callable[[str], Any], word: str) -> _Form:
    """Return the form of a text that a function can read."""

    def check(value: Any) -> str:
        try:
            parse(value if isinstance(value, str) else "")
        except (netaddr.AddrFormatError, ValueError):
            return f"{repr(value)[:100]} is not {word}"
        return ""

    return check


def _list(form: _Form) -> _Form:
    """Return the form of a list whose items have a form."""

    def check(value: Any) -> str:
        if not isinstance(value, list):
            return f"{repr(value)[:100]} is not a list"
        return next((wrong for one in value if (wrong := form(one))), "")

    return check


def _object(needed: Mapping[str, _Form], others: Mapping[str, _Form] | None = None) -> _Form:
    """Return the form of an object: what it has to have, and the forms of what it may have."""
    forms = {**needed, **(others or {})}

    def check(value: Any) -> str:
        if not isinstance(value, Mapping):
            return f"{repr(value)[:100]} is not an object"
        for name in needed:
            if name not in value:
                return f"{name!r} is missing"
        found = ((name, form(value[name])) for name, form in forms.items() if name in value)
        return next((f"{name!r}: {wrong}" for name, wrong in found if wrong), "")

    return check


_NETWORK = _parsed(netaddr.IPNetwork, "an address or a network")
_ADDRESS = _parsed(netaddr.IPAddress, "an address")
_ADDRESSES = _object({"addresses": _list(_NETWORK)})
_PREFIXES = _object({}, {"prefixes": _list(_NETWORK)})
_ROUTE = _object({"destination": _NETWORK, "nexthop": _ADDRESS})
_ROUTE_GONE = _object({"destination": _text, "nexthop": _text})
_FIXED_IP = _object({}, {"ip_address": _ADDRESS, "subnet_id": _text})
_GATEWAY = _object(
    {"network_id": _text}, {"enable_snat": _flag, "external_fixed_ips": _list(_FIXED_IP)}
)
_GATEWAYS = _object({"router": _object({}, {"external_gateways": _list(_GATEWAY)})})
_ALL: Mapping[str, Any] = {
    "router": {"external_gateways": {}}
}  #: how openstackclient asks for all to be removed
_SUBPORT = _object({}, {"segmentation_type": _plain, "segmentation_id": _plain})
_SUBPORTS = _object({"sub_ports": _list(_SUBPORT)})
#: By the name of an action.
FORMS: Mapping[str, _Form] = {
    "add_addresses": _ADDRESSES,
    "remove_addresses": _ADDRESSES,
    "add_prefixes": _PREFIXES,
    "remove_prefixes": _PREFIXES,
    "add_router_interface": _object({}),
    "remove_router_interface": _object({}),
    "add_extraroutes": _object({"router": _object({"routes": _list(_ROUTE)})}),
    "remove_extraroutes": _object({"router": _object({"routes": _list(_ROUTE_GONE)})}),
    "add_external_gateways": _GATEWAYS,
    "update_external_gateways": _GATEWAYS,
    "remove_external_gateways": lambda body: "" if body == _ALL else _GATEWAYS(body),
    "add_subports": _SUBPORTS,
    "remove_subports": _SUBPORTS,
}


def find_wrong(action: str, resource: str, body: Any) -> str:
    """Return what is wrong with the body of an action; "" where nothing is.

    Args:
        action: its name, one of `FORMS`.
        resource: the member that the action is of; Neutron takes it for an object where it is said.
        body: what the request says; None where it has no body.
    """
    return FORMS[action](body) or _object({}, {resource: _object({})})(body)


def install() -> None:
    """Have Neutron's API check the bodies of actions; idempotent."""
    native = base.Controller.__getattr__
    if native is not _find_handler:
        _NATIVE.append(native)
        base.Controller.__getattr__ = _find_handler


#: Neutron's own method, once it is replaced.
_NATIVE: list[Any] = []


def _find_handler(controller: Any, name: str) -> Any:
    """Return what handles an action; in the place of a method of Neutron's controller."""
    handle = _NATIVE[0](controller, name)
    if name not in FORMS:
        return handle

    def checked(request: Any, id: str, **options: Any) -> Any:
        wrong = find_wrong(name, controller._resource, options.get("body"))
        if wrong:
            raise to_fault(errors.Invalid(f"the body is not what {name} takes: {wrong}"))
        return handle(request, id, **options)

    return checked
