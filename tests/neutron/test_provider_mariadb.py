"""VLANs that central chooses, on MariaDB."""

import pytest
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.test_provider_networks import pair, test_central_chooses_a_vlan_of_its_ranges

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress]

__all__ = ["central", "pair", "site1", "sound", "test_central_chooses_a_vlan_of_its_ranges"]
