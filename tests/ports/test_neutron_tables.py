"""The columns of Neutron's tables that the store names are there, with those names."""

import warnings

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows

from isthmus.store.sql.neutron_tables import FLOATING_IPS, OBJECTS, PORT_FORWARDINGS, ROUTER_PORTS

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from neutron.db import models_v2
    from neutron.db.models import address_group, l3, port_forwarding, securitygroup
    from neutron.db.qos import models as qos

MODELS = {
    model.__tablename__: model.__table__
    for model in (
        address_group.AddressGroup,
        securitygroup.SecurityGroup,
        qos.QosPolicy,
        models_v2.Network,
        models_v2.Subnet,
        models_v2.Port,
        l3.Router,
        l3.FloatingIP,
        l3.RouterPort,
        port_forwarding.PortForwarding,
    )
}


NAMED = (*OBJECTS.values(), FLOATING_IPS, PORT_FORWARDINGS, ROUTER_PORTS)


@pytest.mark.parametrize("table", NAMED, ids=lambda table: str(table.name))
def test_the_columns_are_neutrons(table: sa.TableClause) -> None:
    names = {column.name for column in table.columns}
    assert names <= {column.name for column in MODELS[table.name].columns}
    # And those that the stores' own tests have.
    assert names <= {column.name for column in neutron_rows.TABLES[table.name].columns}
