"""QoS policies of floating IPs and of router gateways on MariaDB."""

import pytest
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.test_limits_outside import (
    test_a_floating_ip_is_limited_where_it_is_answered,
    test_a_gateway_is_limited_by_the_sites_own_neutron,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress]

__all__ = [
    "central",
    "site1",
    "sound",
    "test_a_floating_ip_is_limited_where_it_is_answered",
    "test_a_gateway_is_limited_by_the_sites_own_neutron",
]
