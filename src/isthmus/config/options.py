"""Every option of ours, for `oslo-config-generator`."""

from collections.abc import Sequence
from typing import Any

from isthmus.config import central, site, xjob


def list_opts() -> list[tuple[str, Sequence[Any]]]:
    """Return groups and their options; found by entry point."""
    return [
        (central.GROUP, [*central.OPTIONS, *site.OPTIONS]),
        (xjob.GROUP, xjob.OPTIONS),
    ]
