"""Races at central on MariaDB, at its default isolation, long enough to mean something."""

import pytest
from tests.neutron import races
from tests.neutron.central_server import CentralServer
from tests.neutron.mariadb import central, sound

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.stress]

__all__ = ["central", "sound"]


@pytest.mark.timeout(3600)
def test_no_rule_is_lost(central: CentralServer) -> None:
    assert races.lose_rules(central, 500) == []


@pytest.mark.timeout(3600)
def test_no_removal_is_lost(central: CentralServer) -> None:
    assert races.lose_removals(central, 500) == []


@pytest.mark.timeout(3600)
def test_a_port_comes_home_once(central: CentralServer) -> None:
    assert races.share_homes(central, 200) == []


@pytest.mark.timeout(3600)
def test_nothing_is_left_of_a_site_that_is_removed_while_it_asks(central: CentralServer) -> None:
    assert races.outlive_sites(central, 60) == []
