"""A person has a site compared with what it should hold: both tiers on MariaDB."""

import pytest
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.test_resync import (
    cloud,
    pair,
    test_a_row_deleted_by_hand_comes_back_when_xjob_runs_again,
    test_only_one_network_is_compared,
    test_who_may_ask_and_for_what,
    things,
    xjob,
)

pytestmark = [pytest.mark.neutron, pytest.mark.ovn, pytest.mark.db, pytest.mark.timeout(600)]

__all__ = [
    "central",
    "cloud",
    "pair",
    "site1",
    "sound",
    "test_a_row_deleted_by_hand_comes_back_when_xjob_runs_again",
    "test_only_one_network_is_compared",
    "test_who_may_ask_and_for_what",
    "things",
    "xjob",
]
