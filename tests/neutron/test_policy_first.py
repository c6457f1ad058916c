"""Nothing is read for those who may see nothing of what Isthmus adds."""

import uuid

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import READER, tenant

pytestmark = pytest.mark.neutron


def test_nothing_is_read_for_a_tenant(central: CentralServer, site1: LocalServer) -> None:
    user = tenant(uuid.uuid4().hex)
    for server, name in ((central, "central"), (site1, "site1")):
        with server.database(write=True) as connection:
            connection.execute(sa.text("ALTER TABLE isthmus_leases RENAME TO set_aside"))
        try:
            reply = server.call("GET", "/v2.0/site-holdings")
            assert reply.status >= 500, reply  # so it shows who has the table read
            assert server.call("GET", "/v2.0/site-holdings", user=user).only() == []
            assert server.call("GET", f"/v2.0/site-holdings/{name}", user=user).status == 404
        finally:
            with server.database(write=True) as connection:
                connection.execute(sa.text("ALTER TABLE set_aside RENAME TO isthmus_leases"))
        (held,) = server.call("GET", "/v2.0/site-holdings", user=READER).only()
        assert held["id"] == name
        assert server.call("GET", f"/v2.0/site-holdings/{name}").only()["id"] == name
