"""A server that is made again where a busy machine was too slow for its port."""

from typing import Any

from isthmus import errors
from isthmus.testing.until import until


def create_server(lab: Any, **wanted: Any) -> Any:
    """Make a server of a lab; one whose site has no answer of central yet is asked for again."""

    def made() -> Any:
        try:
            return lab.create_server(**wanted)
        except errors.Busy:
            return None

    return until(made, what=f"server {wanted['name']} is made")
