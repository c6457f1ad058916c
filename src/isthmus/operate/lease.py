"""Leases of all sites."""

import contextlib

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.model.form import is_id, name_near
from isthmus.operate.site import require_sites


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
    return rows


def _find_pool(api: AdminApi, pool: str) -> str:
    for kind in ("subnet", "network"):
        with contextlib.suppress(errors.NotFound):
            return str(api.get_named(kind, pool)["id"])
    names = [*api.list_names("subnet"), *api.list_names("network")]
    near = "" if is_id(pool) else name_near(pool, names)
    raise errors.NotFound(f"there is no subnet and no network {pool!r}{near}")
