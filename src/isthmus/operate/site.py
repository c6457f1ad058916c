"""Sites: going on without one, and its removal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.model.site import CENTRAL
from isthmus.operate.gone import GONE, Gone, find_gone


@dataclass(frozen=True, slots=True)
class GoneOn:
    """What came of going on without a site."""

    site: Row  #: as central has it now
    waited: bool  #: whether central waited for it
    still: tuple[str, ...]  #: the sites that central waits for now


def require_sites(api: AdminApi, names: Iterable[str]) -> None:
    """Check names of sites by which nothing was found: one may be written wrong.

    Central and removed sites hold things as well. Who may see no site is told nothing.

    Raises:
        NotFound: there is no such site.
    """
    wanted = [one for one in names if one != CENTRAL and not one.startswith(GONE)]
    if not wanted:
        return
    known = [row["name"] for row in api.list("site", sort_key="name", sort_dir="asc")]
    for one in wanted:
        if known and one not in known:
            raise errors.NotFound(f"there is no site {one!r}; there are: {', '.join(known)}")


def go_on_without(api: AdminApi, name: str, confirm: Callable[[], None]) -> GoneOn:
    """Have central wait no longer for a site to register.

    Args:
        api: of central.
        name: of the site.
        confirm: raises where the person does not want it; asked only where central does wait.

    Raises:
        NotFound: there is no such site.
    """
    row = api.get("site", name)
    waited = bool(row["waits_for"])
    if waited:
        confirm()
        row = api.act("site", row["id"], "go_on_without")
    sites = api.list("site", sort_key="name", sort_dir="asc")
    return GoneOn(row, waited, tuple(one["name"] for one in sites if one.get("waits_for")))


def delete_site(api: AdminApi, name: str) -> Gone | None:
    """Remove a site; gives what it has not let go of.

    Raises:
        NotFound: there is none.
        InUse: it holds objects and is not disabled.
    """
    row = api.get("site", name)
    api.delete("site", row["id"])
    return find_gone(api, row["id"])
