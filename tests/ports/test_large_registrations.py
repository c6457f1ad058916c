"""What a site names that has as many ports as it may, in a cloud with two addresses a port."""

import json
import uuid
import warnings
from typing import Any

import pytest

from isthmus import errors
from isthmus.model.site import Site, SiteName
from isthmus.store.tiers import parts

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.central.site_api import hello

SITE = Site(name=SiteName("site1"), region="r", availability_zones=("az1",), service_user="site1")


def ids(count: int) -> list[str]:
    return [str(uuid.UUID(int=number)) for number in range(count)]


def say(ports: int, *, each: int) -> dict[str, Any]:
    """Make what a site says that has so many ports, and knows as many of others."""
    v6 = 2**127
    there = ids(ports)
    networks = ids(1000)
    return {
        "registration": None,
        "epoch": 2,
        "life": "l",
        "heard": 1,
        "proof": "p",
        "leases": [],
        "datapaths": {},
        "ports": there,
        "addresses": {
            subnet_id: [(index, str(v6 + index)) for index in range(ports)]
            for subnet_id in networks[:each]
        },
        "shadows": [
            ("site2", port, networks[0], 7, [str(v6 + one) for one in range(each)])
            for port in there
        ],
        "holdings": {"port": there, "shadow": there, "security_group": networks},
        "behind": 0,
    }


def test_as_many_ports_as_may_be_are_taken_with_all_their_addresses() -> None:
    said = say(hello.MOST_PORTS, each=2)
    parsed = hello.parse(SITE, said)
    assert len(parsed.addresses or ()) == 2 * hello.MOST_PORTS
    assert len(parsed.known) == hello.MOST_PORTS
    # With as many leases of 176 bytes.
    text = json.dumps(said, separators=(",", ":"))
    assert len(text) + 176 * hello.MOST_LEASES < parts.MOST_PARTS * parts.MOST_TEXT


def test_no_more_addresses_are_taken_than_ports_have() -> None:
    count = hello.MOST_ADDRESSES // 5 + 1
    with pytest.raises(errors.Invalid, match="addresses"):
        hello.parse(SITE, say(count, each=5) | {"ports": [], "addresses": {}, "holdings": {}})


@pytest.mark.parametrize("life", ["\U0001f600", "a life", "x" * 17, "l\n", ["l"], 7, True])
def test_the_life_of_an_epoch_is_what_every_database_keeps(life: Any) -> None:
    """Neutron's database often has three bytes for a character: it would refuse the row."""
    hello.parse(SITE, say(0, each=0) | {"life": "0123456789abcdef"})
    with pytest.raises(errors.Invalid, match="no registration"):
        hello.parse(SITE, say(0, each=0) | {"life": life})
