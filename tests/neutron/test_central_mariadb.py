"""The same behaviour on MariaDB: the tests in which locks, upserts and INSERT .. SELECT matter."""

import pytest
from tests.neutron import races
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, sound
from tests.neutron.test_after_restore import (
    test_an_address_that_changed_since_the_backup_has_a_new_holder,
    test_what_a_lost_site_s_ports_have_is_known_by_others,
    test_what_central_gave_out_itself_since_the_backup_is_kept_for_its_port,
)
from tests.neutron.test_central_admin import (
    test_a_network_is_extended_ahead_of_use_and_withdrawn,
    test_a_parked_job_is_retried_or_cancelled,
    test_a_site_from_its_making_to_its_end,
    test_draining_and_disabled_sites,
    test_jobs_are_filtered_sorted_and_paged,
    test_nothing_is_left_of_a_deleted_network,
    test_what_is_asked_for_at_once_is_compared_once_and_ends_where_nobody_will,
)
from tests.neutron.test_central_bundle import (
    test_a_bundle_holds_all_that_a_network_takes,
    test_a_port_brings_its_network_and_comes_home,
    test_sites_get_different_numbers_of_one_network,
)
from tests.neutron.test_central_lease import (
    test_addresses_asked_for_by_name,
    test_central_gives_way_where_it_does_not_use_its_own,
    test_many_at_once,
    test_pools_change_where_nobody_is_cut,
)
from tests.neutron.test_central_report import (
    test_a_late_batch_does_not_undo_a_newer_one,
    test_a_move_is_told,
    test_a_port_deleted_at_central_is_not_made_again,
    test_nobody_is_missed_when_much_happens_at_once,
    test_reporting_twice_changes_nothing,
)
from tests.neutron.test_registration import (
    test_a_registration_gets_no_network_and_no_block,
    test_what_central_forgot_is_believed_within_bounds,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db]

__all__ = [
    "central",
    "sound",
    "test_a_bundle_holds_all_that_a_network_takes",
    "test_a_late_batch_does_not_undo_a_newer_one",
    "test_a_move_is_told",
    "test_a_network_is_extended_ahead_of_use_and_withdrawn",
    "test_a_parked_job_is_retried_or_cancelled",
    "test_a_port_brings_its_network_and_comes_home",
    "test_a_port_deleted_at_central_is_not_made_again",
    "test_a_registration_gets_no_network_and_no_block",
    "test_a_site_from_its_making_to_its_end",
    "test_addresses_asked_for_by_name",
    "test_an_address_that_changed_since_the_backup_has_a_new_holder",
    "test_central_gives_way_where_it_does_not_use_its_own",
    "test_draining_and_disabled_sites",
    "test_jobs_are_filtered_sorted_and_paged",
    "test_many_at_once",
    "test_nobody_is_missed_when_much_happens_at_once",
    "test_nothing_is_left_of_a_deleted_network",
    "test_pools_change_where_nobody_is_cut",
    "test_reporting_twice_changes_nothing",
    "test_sites_get_different_numbers_of_one_network",
    "test_what_a_lost_site_s_ports_have_is_known_by_others",
    "test_what_central_forgot_is_believed_within_bounds",
    "test_what_central_gave_out_itself_since_the_backup_is_kept_for_its_port",
    "test_what_is_asked_for_at_once_is_compared_once_and_ends_where_nobody_will",
]


def test_races(central: CentralServer) -> None:
    """A short look; `test_central_races` takes longer."""
    assert races.lose_rules(central, 25) == []
    assert races.lose_removals(central, 25) == []
    assert races.share_homes(central, 10) == []
    assert races.outlive_sites(central, 8) == []
