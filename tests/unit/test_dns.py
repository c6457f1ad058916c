"""By which names a port is known."""

from typing import Any

import pytest

from isthmus.federation.dns import list_names
from isthmus.testing.site_tables import make_shadow

WEB = [{"ip_address": "10.0.0.5", "hostname": "web", "fqdn": "web.example.org."}]


@pytest.mark.parametrize(
    ("port", "domain", "names"),
    [
        ({"dns_name": "web", "dns_assignment": WEB}, "", ("web.example.org", "web")),
        (
            {"dns_name": "web", "dns_assignment": WEB},
            "inner.org.",
            ("web.example.org", "web", "web.inner.org"),
        ),
        ({"dns_name": "web", "dns_assignment": WEB}, "example.org.", ("web.example.org", "web")),
        # Neutron gives every port a host name; OVN answers for those that were named.
        ({"dns_name": "", "dns_assignment": WEB}, "", ()),
        ({"dns_name": "web", "dns_assignment": []}, "", ()),
        ({}, "inner.org.", ()),  # the extension is not loaded
    ],
)
def test_names_are_those_that_ml2_ovn_writes(
    port: dict[str, Any], domain: str, names: tuple[str, ...]
) -> None:
    assert list_names(port, domain) == names


def test_a_peer_that_says_no_names_is_understood() -> None:
    shadow = make_shadow(1)
    said = shadow.to_dict()
    del said["names"]
    assert type(shadow).from_dict(said) == shadow
