"""Leases of all sites."""

import contextlib
from collections.abc import Iterable

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.model.form import is_id, name_near
from isthmus.operate.cloud import say_under_way
from isthmus.operate.site import get_site, require_sites


def list_leases(
    api: AdminApi, *, pool: str | None = None, site: str | None = None, kind: str | None = None
) -> list[Row]:
    """List leases; None = no filter.

    Args:
        api: central's.
        pool: id or name of a subnet (addresses) or of a network (port keys).
        site: name of the holder.
        kind: of pool, `subnet` or `network`.

    Raises:
        NotFound: there is no such pool, or no such site.
    """
    pool_id = _find_pool(api, pool) if pool else None
    rows = api.list("site_lease", pool_id=pool_id, site=site, kind=kind)
    if site and not rows:
        require_sites(api, [site])
    return sort_leases(rows)


def sort_leases(rows: Iterable[Row]) -> list[Row]:
    """Sort leases by their pool and numbers."""
    return sorted(rows, key=lambda row: (row["kind"], row["pool_id"], int(row.get("first") or 0)))


def return_lease(api: AdminApi, site: str, lease: str) -> str:
    """Have a site give back what is not its own of a lease.

    Args:
        api: central's.
        site: name or id of the site.
        lease: id of the lease.

    Returns:
        The name of the site.

    Raises:
        NotFound: there is no such site; says which names come near.
        Invalid: that is no id.
        Conflict: the site is disabled.
        Busy: central or the site was restored, and the site has to register first.
    """
    if not is_id(lease):
        raise errors.Invalid(f"{lease!r} is no id of a lease: isthmus audit names it")
    row = get_site(api, site)
    api.act("site", row["id"], "return_lease", {"lease_id": lease})
    return str(row["name"])


def say_returning(api: AdminApi, site: str, lease: str) -> str:
    """Describe what a lease that a site is to give back waits for; nothing where the site was told.

    Args:
        api: central's.
        site: name of the site.
        lease: id of the lease.

    Raises:
        Refused: the site refused it.
    """
    return say_under_way(api, site=site, type="lease", resource_id=lease)


def _find_pool(api: AdminApi, pool: str) -> str:
    for kind in ("subnet", "network"):
        with contextlib.suppress(errors.NotFound):
            return str(api.get_named(kind, pool)["id"])
    names = [*api.list_names("subnet"), *api.list_names("network")]
    near = "" if is_id(pool) else name_near(pool, names)
    raise errors.NotFound(f"there is no subnet and no network {pool!r}{near}")
