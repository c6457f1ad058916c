"""Processes of a lab: what one is, how it is born, serves and is waited for, and the ledger."""
