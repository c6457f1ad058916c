"""Faults that are brought about in a lab: for `why_faults`."""
