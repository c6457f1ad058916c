"""What a restored central decides of numbers, on MariaDB: on a central of its own.

A central that was restored is not as it was for whatever comes after it.
"""

import pytest
from tests.neutron.mariadb import central, mariadb_url, new_database, sound
from tests.neutron.test_after_restore import (
    test_an_address_that_changed_since_the_backup_has_a_new_holder,
    test_what_a_lost_site_s_ports_have_is_known_by_others,
    test_what_central_gave_out_itself_since_the_backup_is_kept_for_its_port,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db]

__all__ = [
    "central",
    "mariadb_url",
    "new_database",
    "sound",
    "test_an_address_that_changed_since_the_backup_has_a_new_holder",
    "test_what_a_lost_site_s_ports_have_is_known_by_others",
    "test_what_central_gave_out_itself_since_the_backup_is_kept_for_its_port",
]
