"""Items: the form in which an object travels between tiers.

An item carries the whole wanted (or, in a report, observed) state of one object, or says that it is
gone. Applying one twice, or an old one before a new one of the same object, must do no harm.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from isthmus import errors
from isthmus.model import number
from isthmus.model.form import is_id
from isthmus.model.resource import ResourceType

#: What is kept of the words of another tier: of an id or a code, and of a message, in characters.
_MOST_ID = 64
_MOST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Item:
    """One object's state on the wire."""

    type: ResourceType
    id: str
    state: Mapping[str, Any] | None  #: JSON-able; None means that the object is gone
    withdrawn: bool = False  #: it still exists, but is to be here no more: what uses it may object

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        body = {"type": self.type.value, "id": self.id, "state": self.state}
        return {**body, "withdrawn": True} if self.withdrawn else body

    @classmethod
    def from_dict(cls, body: Any) -> Self:
        """Read the JSON form.

        Raises:
            ProtocolError: a key is missing or of the wrong form.
        """
        try:
            kind, id_, state = ResourceType(body["type"]), str(body["id"]), body["state"]
        except (KeyError, TypeError, ValueError) as exc:
            raise errors.ProtocolError(f"not an item: {str(body)[:200]}") from exc
        if state is not None and not isinstance(state, Mapping):
            raise errors.ProtocolError(f"not an item, its state is no object: {str(body)[:200]}")
        return cls(kind, id_, state, withdrawn=state is None and bool(body.get("withdrawn")))


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item; `code` is empty where it was taken."""

    type: ResourceType
    id: str
    code: str = ""  #: an error code of `isthmus.errors`
    message: str = ""
    attributes: tuple[str, ...] = ()  #: which alone were refused; all else of the item was taken
    kept: Mapping[str, Any] = field(default_factory=dict)  #: what stands in the place of those
    seen: int | None = None  #: where it was late: the newest batch that the other side has seen

    @property
    def taken(self) -> bool:
        """Tell whether the other side now holds what the item said."""
        return not self.code

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        body: dict[str, Any] = {
            "type": self.type.value,
            "id": self.id,
            "code": self.code,
            "message": self.message,
        }
        if self.attributes:
            body["attributes"] = list(self.attributes)
        if self.kept:
            body["kept"] = dict(self.kept)
        return body if self.seen is None else {**body, "seen": self.seen}

    @classmethod
    def from_dict(cls, body: Any) -> Self:
        """Read the JSON form.

        Raises:
            ProtocolError: a key is missing or of the wrong form.
        """
        try:
            kept = dict(body.get("kept") or {})
            return cls(
                ResourceType(body["type"]),
                _to_text(body["id"], _MOST_ID),
                _to_text(body["code"], _MOST_ID),
                _to_text(body["message"], _MOST_MESSAGE),
                tuple(_to_text(one, _MOST_ID) for one in (body.get("attributes") or ())[:_MOST_ID]),
                kept,
                _parse_seen(body.get("seen")),
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as exc:
            raise errors.ProtocolError(f"not an item result: {str(body)[:200]}") from exc


def _to_text(value: object, most: int) -> str:
    """Return what another tier says, cut, as a database takes it.

    JSON can spell halves of characters; a driver fails with one, and the job would never be
    settled.
    """
    return str(value)[:most].encode(errors="replace").decode()


def _parse_seen(text: Any) -> int | None:
    if text is None:
        return None
    seen = int(text)
    if not 0 <= seen < number.LIMIT - 1:
        raise ValueError(f"{seen} is no batch's number")
    return seen


def parse_items(body: Any, most: int) -> list[Item]:
    """Parse the items of a request.

    Args:
        body: as it came.
        most: how many there may be.

    Raises:
        Invalid: they are malformed, or too many.
    """
    if not isinstance(body, list) or len(body) > most:
        raise errors.Invalid(f"items must be a list of at most {most}")
    try:
        return [Item.from_dict(one) for one in body]
    except errors.ProtocolError as error:
        raise errors.Invalid(error.message) from error


def find_fault(item: Item, most_bytes: int) -> errors.Invalid | None:
    """Find why an item is not looked at any further: it has no id, or says too much.

    Args:
        item: as it came.
        most_bytes: how long the JSON of its state may be.
    """
    if not is_id(item.id):
        return errors.Invalid(f"an item of type {item.type} has an id that is no UUID")
    said = len(json.dumps(item.state))
    if said > most_bytes:
        return errors.Invalid(f"{item.type} {item.id} has {said} bytes, more than {most_bytes}")
    return None


def read_results(body: Any, items: Sequence[Item]) -> list[ItemResult]:
    """Read the results of a batch: of no more items than it had.

    Raises:
        ProtocolError: they have not the promised form.
    """
    if not isinstance(body, list) or len(body) > len(items):
        raise errors.ProtocolError(f"the answer has no list of results for {len(items)} items")
    return [ItemResult.from_dict(one) for one in body]


def refused(item: Item, error: errors.IsthmusError) -> ItemResult:
    """Build the result of a refused item."""
    seen = error.fields.get("seen")
    return ItemResult(
        item.type,
        item.id[:_MOST_ID],
        error.code,
        error.message,
        seen=seen if isinstance(seen, int) else None,
    )


def refused_in_part(
    item: Item, why: Mapping[str, errors.IsthmusError], kept: Mapping[str, Any]
) -> ItemResult:
    """Build the result of an item of which some attributes were refused.

    Args:
        item: what was taken but for these.
        why: attribute to reason; not empty.
        kept: the value that each of them has instead.
    """
    first = next(iter(why.values()))
    reasons = "; ".join(f"{name}: {error.message}" for name, error in sorted(why.items()))
    return ItemResult(item.type, item.id, first.code, reasons, tuple(sorted(why)), kept)


def taken(item: Item) -> ItemResult:
    """Build the result of an accepted item."""
    return ItemResult(item.type, item.id)
