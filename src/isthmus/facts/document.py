"""Nouns as plain mappings, lists, numbers and words: what `-o json` prints and files keep."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any


def to_document(noun: Any) -> Any:
    """Return the JSON form of a noun: plain mappings, lists, numbers and strings."""
    if dataclasses.is_dataclass(noun) and not isinstance(noun, type):
        return {
            field.name: to_document(getattr(noun, field.name)) for field in dataclasses.fields(noun)
        }
    if isinstance(noun, enum.Enum):
        return noun.value
    if isinstance(noun, Mapping):
        return {str(key): to_document(value) for key, value in noun.items()}
    if isinstance(noun, list | tuple):
        return [to_document(one) for one in noun]
    return noun
