"""Has the home of a port bind it again."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.clients.http.neutron import NeutronClient, promised
from isthmus.model.form import is_name
from isthmus.operate.cloud import Cloud
from isthmus.operate.port.home import get_home

_HOST, _VIF_TYPE = "binding:host_id", "binding:vif_type"
_FAILED = "binding_failed"
#: What the owners of ports begin with that Neutron itself uses: of routers, of DHCP.
_OF_NEUTRON = "network:"
#: How long OVN may take to show what Neutron has written into it, in seconds, and how often one
#: looks: the process that is asked need not be the one that wrote.
_SHOWN_S, _LOOK_EVERY_S = 10.0, 0.5


@dataclass(frozen=True, slots=True)
class Bound:
    """A port that was bound again."""

    site: str
    host: str
    before: str  #: where it was bound, or was to be; empty for nowhere


def rebind_port(admin: Cloud, port: str, host: str | None = None) -> Bound:
    """Have the home of a port bind it again, to the same hypervisor or another one.

    Neutron binds a port that failed, or whose hypervisor changes, with its next change. Of one that
    is bound where it is to be it writes OVN's row again with any change, the same hypervisor too.

    Args:
        admin: central, and the way to the sites.
        port: id or name, as central knows it.
        host: the name of the hypervisor, as the site's Neutron has it; None for the one that it is
            bound to, or was to be.

    Raises:
        NotFound: there is no such port, or it lives nowhere, or its home does not have it.
        Conflict: it is bound to nothing, and no hypervisor is named; it is no port of a server; its
            server is moved to that hypervisor just now; or somebody else binds it meanwhile.
        Refused: the site could not bind it, or the caller may not see where ports live.
        Invalid: the hypervisor's name is none.
        Unfinished: the site's Neutron has bound it, and its OVN does not know.
    """
    if host is not None and not is_name(host):
        raise errors.Invalid(f"{host[:100]!r} is no name of a hypervisor")
    wanted = admin.api.get_named("port", port, fields=["id", "network_id", "device_owner"])
    owner = str(wanted.get("device_owner") or "")
    if owner.startswith(_OF_NEUTRON):
        raise errors.Conflict(
            f"port {port} is no server's ({owner}): Neutron has it on whichever hypervisor needs it"
        )
    site = str(get_home(admin.api, wanted["id"], port)["site"])
    client = admin.open_site(site, _find_region(admin.api, site))
    api = AdminApi(client)
    there = _find_own_port(api, wanted)
    if there is None:
        raise errors.NotFound(
            f"site {site} is the home of port {port} and does not have it: isthmus site resync "
            f"{site} sends it"
        )
    before, failed = str(there.get(_HOST) or ""), there.get(_VIF_TYPE) == _FAILED
    chosen = host or before
    if not chosen:
        raise errors.Conflict(
            f"port {port} is bound to no hypervisor, as one that no server uses, or that somebody "
            "is binding just now: say which with --host"
        )
    if chosen != before:
        _require_no_move(api, wanted["id"], port, chosen)
    api.update("port", wanted["id"], {_HOST: chosen})
    # The answer may show the hypervisor of this change with the outcome of another one.
    made = _find_own_port(api, wanted) or {}
    if made.get(_HOST) != chosen:
        raise errors.Conflict(
            f"somebody else has bound port {port} to {made.get(_HOST) or 'nothing'} meanwhile"
        )
    if made.get(_VIF_TYPE) == _FAILED:
        stays = ""
        if chosen != before and not failed:  # rather where its server was than nowhere
            api.update("port", wanted["id"], {_HOST: before})
            stays = f"It is bound to {before or 'nothing'} as before. "
        raise errors.Refused(
            f"site {site} could not bind port {port} to {chosen}: OVN there has no hypervisor of "
            f"that name that answers. {stays}Start the ovn-controller of the one that is meant; "
            "isthmus audit tells of those that are silent"
        )
    _require_in_ovn(client, site, wanted, chosen)
    return Bound(site, chosen, before)


def _require_in_ovn(client: NeutronClient, site: str, wanted: Row, host: str) -> None:
    """See that OVN was asked for what Neutron has: Neutron says it is done where OVN is away, too.

    Raises:
        Unfinished: it was not.
    """
    deadline = time.monotonic() + _SHOWN_S
    while why := _find_lack(client, site, wanted, host):
        if time.monotonic() > deadline:
            raise errors.Unfinished(
                f"Neutron of site {site} has bound the port to {host}, and {why}: no packet goes "
                "there before it is. isthmus status tells what of OVN does not answer; once all "
                "does, run this again, or leave it to Neutron's maintenance worker"
            )
        time.sleep(_LOOK_EVERY_S)


def _find_lack(client: NeutronClient, site: str, wanted: Row, host: str) -> str:
    """Return why a port is not on its hypervisor in OVN; empty where it is, or where nobody says.

    A caller may not be shown OVN's rows, an older site does not say which hypervisor they ask for.
    """
    found = client.get_all("site_holding", network_id=wanted["network_id"], fields="ovn")
    with promised(site):
        ovn: Any = found[0].get("ovn") if len(found) == 1 else None
        if not isinstance(ovn, Mapping):
            return ""
        if ovn.get("unseen"):
            return f"OVN has not been seen to know ({ovn['unseen']})"
        rows = [one for one in ovn.get("ports", ()) if one["id"] == wanted["id"]]
        if not rows:
            return "OVN has no row of it"
        names = {one["name"]: str(one["hostname"]) for one in ovn.get("chassis", ())}
        asked = [
            names.get(one, one) for one in str(rows[0].get("requested_chassis", host)).split(",")
        ]
    return "" if host in asked else f"OVN is still asked for {', '.join(asked) or 'none'}"


def _require_no_move(api: AdminApi, port_id: str, port: str, host: str) -> None:
    """See that Nova prepares no such hypervisor for the port: Neutron would try that in vain.

    Raises:
        Conflict: it does.
    """
    if any(one.get("host") == host for one in api.list_bindings(port_id)):
        raise errors.Conflict(
            f"Nova moves the server of port {port} to {host} just now: the port has a second "
            "binding there. Wait until the move is over; one that a move has left, which failed, "
            f"goes by DELETE /v2.0/ports/{port_id}/bindings/{host} at the site"
        )


def _find_own_port(api: AdminApi, wanted: Row) -> Row | None:
    """Find a port in a list: a site would fetch one that it is asked for by its id."""
    rows = api.iterate("port", network_id=wanted["network_id"], fields=("id", _HOST, _VIF_TYPE))
    return next((row for row in rows if row["id"] == wanted["id"]), None)


def _find_region(api: AdminApi, site: str) -> str:
    """Return the region of the home of a port.

    Raises:
        NotFound: it was removed.
    """
    rows = api.list("site", name=site)
    if not rows:
        raise errors.NotFound(f"its home {site} is a site that was removed: nobody can bind it")
    return str(rows[0]["region"])
