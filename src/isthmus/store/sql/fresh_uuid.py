"""Ids that the database makes, where rows are inserted from a SELECT."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class fresh_uuid(GenericFunction[str]):  # noqa: N801 - the name of a SQL function
    """A random UUID made by the database, one for each row of an INSERT .. SELECT."""

    type = sa.String()
    inherit_cache = True


@compiles(fresh_uuid, "sqlite")
def _compile_sqlite(_element: Any, _compiler: Any, **_options: Any) -> str:
    digits = "lower(hex(randomblob({})))"
    return " || '-' || ".join(f"({digits.format(size)})" for size in (4, 2, 2, 2, 6))


@compiles(fresh_uuid)
def _compile_other(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "uuid()"
