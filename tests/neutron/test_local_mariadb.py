"""A site and central on MariaDB: the tests in which locks, upserts and isolation matter."""

import pytest
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.test_local_apply import (
    test_applying_twice_and_out_of_date,
    test_groups_that_name_each_other,
)
from tests.neutron.test_local_lease import (
    test_an_address_by_name,
    test_the_next_block_comes_before_the_last_one_is_used_up,
)
from tests.neutron.test_local_on_demand import (
    test_a_first_use_makes_the_same_network_here,
    test_a_port_that_was_made_at_central_is_the_same_here,
)
from tests.neutron.test_local_report import (
    test_a_port_that_goes_is_gone_at_central,
    test_changes_on_both_sides_of_a_cut_are_both_kept,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db]

__all__ = [
    "central",
    "site1",
    "sound",
    "test_a_first_use_makes_the_same_network_here",
    "test_a_port_that_goes_is_gone_at_central",
    "test_a_port_that_was_made_at_central_is_the_same_here",
    "test_an_address_by_name",
    "test_applying_twice_and_out_of_date",
    "test_changes_on_both_sides_of_a_cut_are_both_kept",
    "test_groups_that_name_each_other",
    "test_the_next_block_comes_before_the_last_one_is_used_up",
]
