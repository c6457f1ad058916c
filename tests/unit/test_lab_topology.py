import pytest

from isthmus import errors
from isthmus.lab.topology import default_topology, parse_topology


def test_numbers_become_names() -> None:
    topology = default_topology(3, 1)
    assert [site.name for site in topology.sites] == ["site1", "site2", "site3"]
    assert {site.hosts for site in topology.sites} == {("h1",)}


@pytest.mark.parametrize(("sites", "hosts"), [(0, 1), (201, 1), (1, 0), (1, 201)])
def test_too_few_or_too_many_are_refused(sites: int, hosts: int) -> None:
    with pytest.raises(errors.Invalid, match="choose between 1 and 200"):
        default_topology(sites, hosts)


def test_file_with_names_and_numbers() -> None:
    topology = parse_topology(
        "sites:\n- {name: east, hosts: [a, b]}\n- {name: west, hosts: 1, wan_rtt_ms: 100}\n"
    )
    assert topology.sites[0].hosts == ("a", "b")
    assert topology.sites[1].hosts == ("h1",)
    assert topology.sites[1].wan_rtt_ms == 100


def test_a_site_may_be_stock() -> None:
    topology = parse_topology("sites:\n- {name: ours}\n- {name: peer, flavour: stock}\n")
    assert [site.is_stock for site in topology.sites] == [False, True]


def test_every_fault_is_named_with_its_place() -> None:
    text = "sites: [{name: A}, {nam: x}, {name: central}, {name: s, hosts: 0}]"
    with pytest.raises(errors.Invalid) as caught:
        parse_topology(text, "lab.yaml")
    said = caught.value.message
    assert said.startswith("lab.yaml: ")
    for place in ("sites[0].name", "sites[1].name", "sites[1].nam", "sites[2].name", "sites[3].h"):
        assert place in said
    assert "taken by the lab itself" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sites: [", "is not YAML"),
        ("", "has no sites"),
        ("- a", "has no sites"),
        ("sites: []", "sites: "),
        ("sites: [{name: a}, {name: a}]", "the name 'a' is given 2 times"),
        ("sites: [{name: a, hosts: [x, x]}]", "sites[0].hosts: the name 'x' is given 2 times"),
        ("sites: [{name: a, wan_rtt_ms: -1}]", "sites[0].wan_rtt_ms"),
        ("sites: [{name: a}]\nextra: 1", "extra: "),
        ("sites: [{name: a, flavour: odd}]", "sites[0].flavour"),
        ("sites: [{name: a, hosts: 1, gateways: 2}]", "sites[0].gateways: 2, but the site has 1"),
        ("sites: [{name: a, gateways: -1}]", "sites[0].gateways"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        parse_topology(text)
    assert message in caught.value.message
