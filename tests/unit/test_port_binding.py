"""Where a port is bound, as central writes it down and as its home reads it back."""

import pytest

from isthmus.federation.port import bind_at_central, bind_at_home
from isthmus.model.site import SiteName

ONE, TWO = SiteName("site1"), SiteName("site2")


@pytest.mark.parametrize("vif_type", ["ovs", "vhostuser", None])
@pytest.mark.parametrize("host", ["h1", "h1.example.org", "odd/host"])
@pytest.mark.parametrize("profile", [{}, {"pci_slot": "0000:04:00.1"}])
def test_a_binding_comes_home_as_it_went(
    host: str, profile: dict[str, str], vif_type: str | None
) -> None:
    at_central = bind_at_central(ONE, host, profile, vif_type)
    at_home = {"binding:host_id": host, "binding:profile": profile}
    assert bind_at_home(ONE, at_central) == at_home
    assert bind_at_home(TWO, at_central) == {}


def test_a_port_that_is_bound_nowhere_is_bound_nowhere_again() -> None:
    assert bind_at_home(ONE, bind_at_central(ONE, "", {"a": "b"}, "ovs")) == {}
    for state in ({}, {"binding:host_id": None}, {"binding:host_id": "site1"}):
        assert bind_at_home(ONE, state) == {}
