"""Registrations that are too long for one call: a site sends what it names in parts, beforehand.

A part says nothing by itself and changes nothing but what is kept of the site's own parts. The call
that registers names them by the digest of the whole, and is then as one that holds all of it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from isthmus import errors
from isthmus.model.form import is_number
from isthmus.model.site import Site
from isthmus.neutron.api.body.request_body import MOST_NESTED, is_nested_deeper
from isthmus.neutron.db.session import reading, writing
from isthmus.store.tiers import parts as store

#: What may come in parts.
LISTS = frozenset({"leases", "datapaths", "ports", "addresses", "shadows", "holdings"})
#: Limits of values, and of lists and objects: those of the largest registration that is taken have
#: some 1.9 million and 0.6 million. Made into objects, each takes many times its text.
_MOST_VALUES = 3_000_000
_MOST_LISTS = 1_000_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


def keep(context: Any, site: Site, said: Any) -> dict[str, Any]:
    """Keep a part for the registration that will name it; return what names the part.

    Args:
        context: of the request.
        site: the site.
        said: what it sends: digest of the whole, number and text of the part.

    Raises:
        Invalid: it is malformed, or too large.
    """
    digest, number = _read(said, "number", store.MOST_PARTS - 1, least=0)
    text = said.get("text")
    if not isinstance(text, str) or not text.isascii() or not 0 < len(text) <= store.MOST_TEXT:
        raise errors.Invalid(f"a part has an ASCII text of at most {store.MOST_TEXT} characters")
    with writing(context) as connection:
        store.keep(connection, site.name, digest, number, text)
    return {"part": {"digest": digest, "number": number}}


def join(context: Any, site: Site, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a registration with what it names in parts; one without any as it is.

    Raises:
        Busy: not all of them are here.
        Invalid: they are malformed.
    """
    if body["parts"] is None:
        return body
    digest, count = _read(body["parts"], "count", store.MOST_PARTS, least=1)
    with reading(context) as connection:
        text = store.read(connection, site.name, digest, count)
    if text.count(",") > _MOST_VALUES or text.count("[") + text.count("{") > _MOST_LISTS:
        raise errors.Invalid(f"site {site.name} names more than any site can have")
    if is_nested_deeper(text.encode()):
        raise errors.Invalid(f"parts are nested deeper than {MOST_NESTED} lists and objects")
    try:
        lists = json.loads(text)
    except ValueError as error:
        raise errors.Invalid(f"the parts of site {site.name} are no JSON") from error
    if not isinstance(lists, dict) or not lists.keys() <= LISTS:
        raise errors.Invalid(f"the parts of site {site.name} are no registration")
    return {**body, **lists}


def _read(said: Any, name: str, most: int, *, least: int) -> tuple[str, int]:
    """Read a digest and a number.

    Raises:
        Invalid: they are none.
    """
    found = said.get("digest") if isinstance(said, dict) else None
    value = said.get(name) if isinstance(said, dict) else None
    if (
        not isinstance(found, str)
        or not _DIGEST.fullmatch(found)
        or not isinstance(value, int)
        or not is_number(value)
        or not least <= value <= most
    ):
        raise errors.Invalid(f"parts have a digest, and a {name} from {least} to {most}")
    return found, value
