"""Why can A not reach B: what was seen of the way between two ends, and what follows from it.

`collect` reads and never writes; `evaluate` and `check` are pure, so that a table of cases holds
what is told.
"""
