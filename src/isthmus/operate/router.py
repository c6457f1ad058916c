"""Routers: where each is, by which sites its traffic leaves, and what does not work."""

from typing import Any

from isthmus.clients.http.admin import AdminApi, Row
from isthmus.operate.site import require_sites

#: IP versions, and what a table calls their exits.
_VERSIONS = {"4": "ipv4", "6": "ipv6"}


def list_routers(api: AdminApi, *, site: str | None = None) -> list[dict[str, Any]]:
    """List routers, with their sites, exits and what does not work.

    Args:
        api: central.
        site: only those that are at this site.

    Raises:
        NotFound: there is no such site; says which names come near.
    """
    found = [summarise(row) for row in api.iterate("router_exit")]
    chosen = [one for one in found if site is None or site in one["sites"]]
    if site is not None and not chosen:
        require_sites(api, [site])
    return sorted(chosen, key=lambda one: (one["name"], one["id"]))


def get_router(api: AdminApi, router: str) -> Row:
    """Get what is decided of a router.

    Args:
        api: central.
        router: id or name.

    Raises:
        NotFound: there is no such router.
    """
    found = api.get_named("router", router, fields=["id", "name"])
    return api.get("router_exit", found["id"])


def summarise(row: Row) -> dict[str, Any]:
    """Return one line about a router: its sites, its exits and how much of it does not work."""
    forwardings = row.get("forwardings", [])  # a central before it took some has none
    return {
        "id": row["id"],
        "name": row["name"],
        "sites": [one["site"] for one in row["sites"]],
        "exits": sorted({one["site"] for one in row["gateways"] if one["site"]}),
        "floating_ips": len(row["floating_ips"]),
        "idle": sum(one["idle"] is not None for one in (*row["floating_ips"], *forwardings)),
    }


def list_exits(row: Row) -> list[dict[str, Any]]:
    """List a router's exits, a line for each site, in words.

    Args:
        row: of the Admin API.
    """
    return [
        {
            "site": one["site"],
            "state": one["state"] + ("" if one["is_reachable"] else ", not heard"),
            **{name: _say_exit(one["exits"].get(version)) for version, name in _VERSIONS.items()},
            "gateway": ", ".join(
                address["ip_address"]
                for port in row["gateways"]
                if port["site"] == one["site"]
                for address in port["fixed_ips"]
            ),
            "transit": ", ".join(one["transit"]["addresses"]) if one["transit"] else "",
        }
        for one in row["sites"]
    ]


def list_floating(row: Row) -> list[dict[str, Any]]:
    """List a router's floating IPs: where each is translated, or why it is not.

    Args:
        row: of the Admin API.
    """
    return [
        {
            "floating_ip": one["address"],
            "fixed_ip": one["fixed_address"],
            "lives_at": one["home"] or "",
            "translated_at": one["site"] or f"nowhere: {one['idle']}",
        }
        for one in row["floating_ips"]
    ]


def list_forwardings(row: Row) -> list[dict[str, Any]]:
    """List a router's port forwardings: where each is answered, or why it is not.

    Args:
        row: of the Admin API.
    """
    return [
        {
            "forwarded": f"{one['protocol']} {one['address']} {one['ports']}",
            "to": f"{one['fixed_address']} {one['fixed_ports']}",
            "lives_at": one["home"] or "",
            "answered_at": one["site"] or f"nowhere: {one['idle']}",
        }
        for one in row.get("forwardings", [])
    ]


def list_seatless(row: Row) -> list[str]:
    """List the external networks on which a router has a gateway that is nowhere."""
    return [one["network_id"] for one in row["gateways"] if one["site"] is None]


def _say_exit(found: Row | None) -> str:
    if found is None:
        return ""
    if "lack" in found:
        return f"none: {found['lack']}"
    if found["way"] == "local":
        return f"here, to {found['next_hop']}"
    return f"over {found['site']}, to {found['next_hop']}"
