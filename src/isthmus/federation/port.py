"""Which attributes of a port belong to whom, and how central writes down where it is bound."""

from collections.abc import Mapping
from typing import Any

from isthmus.model.site import SiteName

#: May be changed at central and at the home site; merged where both did (`merge`).
SHARED: tuple[str, ...] = (
    "name",
    "description",
    "admin_state_up",
    "mac_address",
    "fixed_ips",
    "security_groups",
    "allowed_address_pairs",
    "port_security_enabled",
    "extra_dhcp_opts",
    "qos_policy_id",
    "dns_name",
)
#: The home site alone says what they are.
HOME: tuple[str, ...] = ("device_id", "device_owner", "binding:vnic_type")

#: Key in central's binding profile under which stands the VIF type that the home site chose.
PROFILE_VIF_TYPE = "isthmus_vif_type"

_HOST, _PROFILE = "binding:host_id", "binding:profile"


def bind_at_central(
    site: SiteName, host: str, profile: Mapping[str, Any], vif_type: str | None
) -> dict[str, Any]:
    """Write down where a port is bound: as `site/host`, with the VIF type that it has there.

    Args:
        site: its home.
        host: the host there; "" where it is bound nowhere.
        profile: its binding profile there.
        vif_type: what binding it gave; None where that failed.
    """
    if not host:
        return {_HOST: "", _PROFILE: {}}
    more = {PROFILE_VIF_TYPE: vif_type} if vif_type else {}
    return {_HOST: f"{site}/{host}", _PROFILE: {**profile, **more}}


def bind_at_home(site: SiteName, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the binding that central's port had at a site; nothing if it was bound elsewhere.

    A site that was restored makes ports anew that are younger than its backup. Their servers run.
    """
    where, _, host = str(state.get(_HOST) or "").partition("/")
    if where != site or not host:
        return {}
    profile = state.get(_PROFILE) or {}
    return {
        _HOST: host,
        _PROFILE: {name: profile[name] for name in profile if name != PROFILE_VIF_TYPE},
    }
