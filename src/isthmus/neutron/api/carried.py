"""The fate of each attribute of central's API: carried to sites, refused, or of no concern.

Each resource declares it for every attribute of Neutron's; a test fails for an attribute of any
extension that has none. Central refuses to set what no site would realise, with the declared
reason: a refusal is better than a value without effect.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neutron_lib import constants
from neutron_lib.api import attributes

from isthmus import errors


class Fate(enum.Enum):
    """What becomes of an attribute."""

    CARRIED = "carried"
    REFUSED = "refused"  #: only its default is taken
    UNCONCERNED = "unconcerned"


@dataclass(frozen=True, slots=True)
class Attribute:
    """The fate of one attribute, and why, unless it is simply carried."""

    fate: Fate
    reason: str = ""


def refused(reason: str) -> Attribute:
    """Return the fate of an attribute of which only the default is accepted."""
    return Attribute(Fate.REFUSED, reason)


def own(reason: str) -> Attribute:
    """Return the fate of an attribute that is each tier's own."""
    return Attribute(Fate.UNCONCERNED, reason)


CARRIED = Attribute(Fate.CARRIED)
DERIVED = own("follows from other attributes in every tier")
TIMES = own("each tier counts its own")
PVLAN = refused("ML2/OVN has no private VLANs over sites")
CENTRAL_ALONE = own("central alone decides by it; what comes of it is carried")

#: What every object has of which Neutron counts revisions.
STANDARD: Mapping[str, Attribute] = {
    "id": CARRIED,
    "project_id": CARRIED,
    "tenant_id": CARRIED,
    "description": CARRIED,
    "tags": CARRIED,
    "created_at": TIMES,
    "updated_at": TIMES,
    "revision_number": TIMES,
}


def check(collection: str, fates: Mapping[str, Attribute], body: Mapping[str, Any]) -> None:
    """Refuse attributes that no site would realise.

    Args:
        collection: the plural, as in Neutron's attribute map.
        fates: the fates of its attributes.
        body: what a create or an update sets.

    Raises:
        Invalid: an attribute is set that is not carried.
    """
    known = attributes.RESOURCES.get(collection, {})
    for name, value in body.items():
        fate = fates.get(name)
        if fate is None or fate.fate is not Fate.REFUSED:
            continue
        if value in (constants.ATTR_NOT_SPECIFIED, None, "", {}, []):
            continue
        if value != known.get(name, {}).get("default", constants.ATTR_NOT_SPECIFIED):
            raise errors.Invalid(f"{name} cannot be set at central: {fate.reason}")
