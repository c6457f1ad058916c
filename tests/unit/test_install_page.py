"""The installation page has people write what the lab has, with which all else is tested."""

import configparser
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from oslo_policy import policy

from isthmus.services.render import (
    MOST_BODY_BYTES,
    PASTE_FILTERS,
    Flavour,
    NeutronServer,
    render_neutron,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "install.md").read_text()
FILE = re.compile(r"^\w+# cat >{1,2}/etc/neutron/isthmus\.conf <<END\n(.*?)^END$", re.M | re.S)
#: What decides how the tiers work together; addresses and ranges are everybody's own.
SAME = {
    "DEFAULT": ("core_plugin", "service_plugins", "ipam_driver"),
    "ml2": ("mechanism_drivers", "extension_drivers"),
}


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


@pytest.mark.parametrize(("number", "flavour"), [(0, Flavour.CENTRAL), (1, Flavour.LOCAL)])
def test_the_page_loads_what_the_lab_loads(number: int, flavour: Flavour) -> None:
    files = FILE.findall(PAGE)
    assert len(files) == 2
    server = NeutronServer(
        flavour=flavour,
        host="h",
        state_dir=Path("/s"),
        database="sqlite://",
        paste_file=Path("/p"),
        base_mac="fa:16:01:00:00:00",
    )
    written, rendered = read(files[number]), read(render_neutron(server))
    for section, names in SAME.items():
        for name in names:
            assert written[section][name] == rendered[section][name], name
    assert int(written["oslo_middleware"]["max_request_body_size"]) == MOST_BODY_BYTES


def test_both_tiers_have_the_filters_of_the_lab() -> None:
    assert PAGE.count(PASTE_FILTERS) == 2


def test_operators_can_list_our_policies() -> None:
    """`oslopolicy-sample-generator --namespace isthmus`, which the page names, finds them."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    group = "oslo.policy.policies"
    rules = EntryPoint("isthmus", groups[group]["isthmus"], group).load()()
    assert {rule.name for rule in rules} >= {"create_site", "create_site_apply", "retry"}
    assert all(isinstance(rule, policy.DocumentedRuleDefault) for rule in rules)
