"""Subports that come to the site of their trunk, on MariaDB."""

import pytest
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.test_subport_moves import (
    test_a_site_releases_a_subport_for_another,
    test_a_subport_comes_once_its_home_has_released_it,
)

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress]

__all__ = [
    "central",
    "site1",
    "sound",
    "test_a_site_releases_a_subport_for_another",
    "test_a_subport_comes_once_its_home_has_released_it",
]
