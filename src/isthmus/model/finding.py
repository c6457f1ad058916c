"""Findings: what an audit has found, as values."""

import enum
from dataclasses import dataclass
from typing import Any


class Severity(enum.StrEnum):
    """How bad a finding is; in the order of the worst first."""

    ERROR = "error"  #: packets or addresses go wrong, or will
    WARNING = "warning"  #: different, and intents that may put it right are on their way
    NOTE = "note"  #: worth knowing

    @property
    def rank(self) -> int:
        """Give the place in a list, the worst first."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference between what is wanted and what is."""

    severity: Severity
    site: str  #: where it was seen; "central" for central
    type: str  #: of the object: network, port, lease, shadow, chassis, switch, job ...
    id: str
    what: str  #: stable words, the same for every finding of this class
    evidence: str  #: the values
    remedy: str  #: what a person does, or what will put it right

    def to_wire(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {name: str(getattr(self, name)) for name in self.__slots__}

    def order(self) -> tuple[int, str, str, str, str]:
        """Give the place in a report."""
        return (self.severity.rank, self.what, self.site, self.type, self.id)
