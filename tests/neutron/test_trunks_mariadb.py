"""Trunks on MariaDB: at the homes of their parents, and with them wherever they go."""

import pytest
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.test_trunks import (
    test_a_parent_that_is_used_at_a_site_brings_its_trunk,
    test_a_site_changes_nothing_of_centrals_trunks_and_has_its_own,
    test_a_trunk_goes_where_its_parent_goes,
    test_a_trunk_made_at_central_is_at_the_home_of_its_parent,
    test_a_trunk_of_many_subports,
    test_ports_that_cannot_be_at_one_site_are_refused_before_a_site_hears,
    test_tags_and_rows_changed_by_hand_are_healed,
    test_what_neutron_refuses_is_refused,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress]

__all__ = [
    "central",
    "site1",
    "sound",
    "test_a_parent_that_is_used_at_a_site_brings_its_trunk",
    "test_a_site_changes_nothing_of_centrals_trunks_and_has_its_own",
    "test_a_trunk_goes_where_its_parent_goes",
    "test_a_trunk_made_at_central_is_at_the_home_of_its_parent",
    "test_a_trunk_of_many_subports",
    "test_ports_that_cannot_be_at_one_site_are_refused_before_a_site_hears",
    "test_tags_and_rows_changed_by_hand_are_healed",
    "test_what_neutron_refuses_is_refused",
]
