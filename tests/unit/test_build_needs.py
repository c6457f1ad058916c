"""What a fleet has to place for sites, and what machines get of Isthmus."""

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest
from tests.lab.bare import make_wheel, write_state
from tests.lab.test_build_site import FLEET, NODES

from isthmus import errors
from isthmus.build.configure.package import package_variables
from isthmus.build.configure.site_needs import require_services
from isthmus.build.fleet.load import load_fleet
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.model.rack.fleet import Fleet
from isthmus.wiring.build_configure import write_ansible

SECOND = "    - {name: n2, mac: 52:54:00:00:00:03, roles: [%s], addresses: {boot: 192.0.2.18}}\n"


def fleet(text: str) -> Fleet:
    return load_fleet(text, Path("fleet.yaml"), lambda _: "").fleet


def require(text: str) -> None:
    require_services(fleet(text), resolve_machines(fleet(text), {}))


def test_a_fleet_of_one_machine_a_site_is_enough_and_hypervisors_may_be_more() -> None:
    require(FLEET)
    more = FLEET.replace("- {name: cloud}\n", "- {name: cloud}\n- {name: compute}\n")
    more = more.replace("ovn-controller: [all-in-one]", "ovn-controller: [all-in-one, compute]")
    require(more + SECOND % "compute")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  isthmus-xjob: [cloud]\n",
            "",
            "c1 carries neutron-server of middle and has to carry isthmus-xjob, too",
        ),
        (
            "  memcached: [cloud, all-in-one]\n",
            "",
            "c1 .* to carry memcached, too; n1 carries .* of north and has to carry memcached, too",
        ),
        ("  ovn-controller: [all-in-one]\n", "", "no machine of north carries ovn-controller"),
        (
            "  neutron-server: [cloud, all-in-one]\n",
            "",
            "one machine of middle has to carry neutron-server, and 0 do; one machine of north",
        ),
        (
            "keystone: [cloud]",
            "keystone: [cloud, all-in-one]",
            "n1 carries keystone, which only middle can, once",
        ),
    ],
)
def test_what_a_site_lacks_is_named(old: str, new: str, said: str) -> None:
    assert old in FLEET
    with pytest.raises(errors.Invalid, match=said):
        require(FLEET.replace(old, new))


def test_one_site_has_to_be_central() -> None:
    with pytest.raises(errors.Invalid, match="does not say which site is central"):
        require_services(dataclasses.replace(fleet(FLEET), central=None), ())


def test_a_second_controller_is_refused() -> None:
    said = r"one machine of north has to carry neutron-server, and 2 do \(n1, n2\)"
    with pytest.raises(errors.Invalid, match=said):
        require(
            FLEET.replace("- {name: cloud}\n", "- {name: cloud}\n- {name: api}\n").replace(
                "neutron-server: [cloud,", "neutron-server: [api, cloud,"
            )
            + SECOND % "api"
        )


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    assert package_variables(make_wheel(tmp_path))["environment_wheel"].endswith("/isthmus.whl")
    with pytest.raises(errors.NotFound, match="there is no wheel"):
        package_variables(tmp_path)
    other = tmp_path / "other.whl"
    other.write_text("x")
    with pytest.raises(errors.Invalid, match="is not a wheel of isthmus"):
        package_variables(other)
    with zipfile.ZipFile(other, "w") as wheel:
        wheel.writestr("else/__init__.py", "")
    with pytest.raises(errors.Invalid, match="is not a wheel of isthmus"):
        package_variables(other)


@pytest.mark.parametrize(
    "damage", ['{"middle": 1, "no', "[]", '{"middle": "x"}', '{"middle": null}']
)
def test_damaged_numbers_of_sites_are_not_made_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    write_state(tmp_path / "state", list(NODES), tmp_path / "no-key")
    write_ansible(tmp_path / "fleet.yaml", tmp_path / "state")
    file = tmp_path / "state/ansible/sites.json"
    assert json.loads(file.read_text()) == {"middle": 1, "north": 2}
    file.write_text(damage)
    with pytest.raises(errors.Inconsistent, match="does not hold the numbers of sites"):
        write_ansible(tmp_path / "fleet.yaml", tmp_path / "state")
    assert file.read_text() == damage
