"""The columns of Neutron's tables that the store names are there, with those names."""

import warnings

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows

from isthmus.store.sql.neutron_tables import (
    FLOATING_IPS,
    OBJECTS,
    PORT_FORWARDINGS,
    ROUTER_PORTS,
    SUBPORTS,
)

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from neutron.db.migration.models import head

THEIRS = head.get_metadata().tables
NAMED = (*OBJECTS.values(), FLOATING_IPS, PORT_FORWARDINGS, ROUTER_PORTS, SUBPORTS)


@pytest.mark.parametrize("table", NAMED, ids=lambda table: str(table.name))
def test_the_columns_are_neutrons(table: sa.TableClause) -> None:
    names = {column.name for column in table.columns}
    assert names <= {column.name for column in THEIRS[table.name].columns}
    # And those that the stores' own tests have.
    assert names <= {column.name for column in neutron_rows.TABLES[table.name].columns}
