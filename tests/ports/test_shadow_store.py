"""A site's shadows, on SQLite and on MariaDB at its default level."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from isthmus import errors
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.site import SiteName
from isthmus.store.ports import shadow
from isthmus.store.sql.engine import open_engine
from isthmus.store.sql.page import Page
from isthmus.store.sql.tables import METADATA


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.db)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Connection]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'site.db'}")
    else:
        engine = sa.create_engine(request.getfixturevalue("mariadb_url"))
    METADATA.create_all(engine)
    with engine.begin() as opened:
        yield opened
    METADATA.drop_all(engine)
    engine.dispose()


def make(
    port_id: str,
    key: int,
    *,
    network_id: str = "n",
    chassis: str = "hv1",
    groups: tuple[str, ...] = (),
) -> Shadow:
    return Shadow(
        port_id=port_id,
        network_id=network_id,
        site=SiteName("site2"),
        chassis=chassis,
        hostname=f"{chassis}.site2",
        encap_ip="192.0.2.7",
        port_key=key,
        mac_address="fa:16:3e:00:00:01",
        addresses=("198.51.100.7", "2001:db8::7"),
        security_groups=groups,
    )


def ids(connection: sa.Connection, **which: list[str]) -> list[str]:
    return [one.port_id for one in shadow.list_shadows(connection, **which)]


def test_a_shadow_comes_back_as_it_was_put(connection: sa.Connection) -> None:
    one, two = make("a", 3, groups=("g1", "g2")), make("b", 4, network_id="m", chassis="hv2")
    shadow.put(connection, [])
    shadow.put(connection, [two, one])
    assert shadow.list_shadows(connection) == [one, two]
    assert shadow.get_shadows(connection, ["b", "c"]) == {"b": two}
    assert ids(connection, network_ids=["n"]) == ["a"]
    assert ids(connection, network_ids=[]) == []


def test_what_is_put_again_replaces_what_was_known_of_the_port(connection: sa.Connection) -> None:
    shadow.put(connection, [make("a", 3), make("b", 4)])
    moved = make("a", 9, network_id="m", chassis="hv2")
    shadow.put(connection, [moved])
    assert shadow.list_shadows(connection) == [moved, make("b", 4)]
    assert shadow.find_holders(connection, [("n", 3), ("m", 9)]) == {("m", 9): "a"}


def test_keys_are_found_by_network(connection: sa.Connection) -> None:
    shadow.put(connection, [make("a", 3), make("b", 4), make("c", 3, network_id="m")])
    asked = [("n", 3), ("n", 4), ("n", 5), ("m", 3), ("m", 4)]
    assert shadow.find_holders(connection, asked) == {
        ("n", 3): "a",
        ("n", 4): "b",
        ("m", 3): "c",
    }
    assert shadow.find_holders(connection, []) == {}
    assert shadow.count_by_network(connection, ["n", "m", "none"]) == {"n": 2, "m": 1}


def test_two_shadows_may_have_a_key_for_a_moment(connection: sa.Connection) -> None:
    """The former holder's goes in the same batch, or the next; OVN's rows decide."""
    shadow.put(connection, [make("a", 3), make("b", 3)])
    assert ids(connection) == ["a", "b"]


def test_one_shadow_tells_of_each_hypervisor(connection: sa.Connection) -> None:
    shadow.put(
        connection,
        [
            make(one, key, chassis=chassis)
            for one, key, chassis in (
                ("a", 1, "hv2"),
                ("b", 2, "hv1"),
                ("c", 3, "hv1"),
                ("d", 4, "hv3"),
            )
        ],
    )
    assert {one.port_id for one in shadow.list_one_per_chassis(connection)} == {"a", "b", "d"}
    some = shadow.list_one_per_chassis(connection, ["hv1", "hv9"])
    assert [one.port_id for one in some] == ["b"]
    assert {one.port_id for one in shadow.list_on_chassis(connection, ["hv1"])} == {"b", "c"}


def test_members_of_groups_are_found(connection: sa.Connection) -> None:
    shadow.put(
        connection,
        [make("a", 1, groups=("g1",)), make("b", 2, groups=("g2", "g1")), make("c", 3)],
    )
    assert shadow.list_ids_of_groups(connection, ["g1"]) == ["a", "b"]
    assert shadow.list_ids_of_groups(connection, ["g1", "g2"]) == ["a", "b"]
    assert shadow.list_ids_of_groups(connection, ["g"]) == [], "no part of an id is one"


def test_shadows_go_with_their_ports_or_their_network(connection: sa.Connection) -> None:
    many = [f"p{number:04}" for number in range(1200)]  # more than one statement takes
    shadow.put(connection, [make(one, 1 + number) for number, one in enumerate(many)])
    shadow.put(connection, [make("other", 1, network_id="m")])
    assert len(shadow.get_shadows(connection, many)) == 1200
    shadow.delete(connection, many[:700])
    assert ids(connection) == ["other", *many[700:]]
    shadow.delete(connection, ["unknown"])
    shadow.delete_network(connection, "n")
    assert ids(connection) == ["other"]


def test_pages_are_by_port_and_filtered_by_what_the_api_names(connection: sa.Connection) -> None:
    shadow.put(connection, [make("a", 1), make("b", 2, chassis="hv2"), make("c", 3)])

    def page(**which: object) -> list[str]:
        filters = which.pop("filters", {})
        assert isinstance(filters, dict)
        shown = shadow.list_page(connection, filters=filters, page=Page(**which))  # type: ignore[arg-type]
        return [one.port_id for one in shown]

    assert page() == ["a", "b", "c"]
    assert page(limit=1, marker="a") == ["b"]
    assert page(sorts=[("port_key", False)]) == ["c", "b", "a"]
    assert page(filters={"chassis": ["hv2"]}) == ["b"]
    assert page(filters={"port_key": ["1", "3"]}) == ["a", "c"]
    with pytest.raises(errors.Invalid, match="no value of port_key"):
        page(filters={"port_key": ["many"]})
    with pytest.raises(errors.Invalid, match="cannot sort"):
        page(sorts=[("state", True)])
