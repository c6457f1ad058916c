"""QoS policies on MariaDB: at their sites, and brought along whatever comes there."""

import pytest
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.test_brought_along import (
    test_a_network_that_is_adopted_brings_its_policy,
    test_a_port_at_a_site_whose_network_is_adopted_too_brings_its_needs,
    test_a_port_that_is_found_at_a_site_brings_its_needs,
    test_a_site_that_comes_back_gets_what_its_ports_need,
)
from tests.neutron.test_qos_policies import (
    test_a_network_that_is_there_gets_a_policy_and_a_site_names_one,
    test_a_policy_of_a_network_and_of_a_port_is_at_their_site,
    test_a_projects_default_is_centrals_to_give,
    test_a_site_changes_nothing_of_centrals_policies,
    test_limits_and_minimums_change_in_any_order,
    test_rows_changed_by_hand_are_found_and_healed,
    test_tags_of_a_policy_come_along,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress]

__all__ = [
    "central",
    "site1",
    "sound",
    "test_a_network_that_is_adopted_brings_its_policy",
    "test_a_network_that_is_there_gets_a_policy_and_a_site_names_one",
    "test_a_policy_of_a_network_and_of_a_port_is_at_their_site",
    "test_a_port_at_a_site_whose_network_is_adopted_too_brings_its_needs",
    "test_a_port_that_is_found_at_a_site_brings_its_needs",
    "test_a_projects_default_is_centrals_to_give",
    "test_a_site_changes_nothing_of_centrals_policies",
    "test_a_site_that_comes_back_gets_what_its_ports_need",
    "test_limits_and_minimums_change_in_any_order",
    "test_rows_changed_by_hand_are_found_and_healed",
    "test_tags_of_a_policy_come_along",
]
