"""Codes that a lab was seen to have, named first, and gone once the fault was undone."""

#: Filled from what `why_faults` prints.
SEEN: frozenset[str] = frozenset()
