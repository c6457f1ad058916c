"""What the roles are told of sites, and the files that they put on machines."""

import configparser
import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from tests.lab.test_build_site import FLEET

from isthmus import errors
from isthmus.build.configure import tier_files
from isthmus.build.configure.inventory import make_inventory
from isthmus.build.configure.site_variables import make_tiers, make_variables, number_sites
from isthmus.build.configure.tier_files import Database, Tier
from isthmus.build.fleet.load import find_faults, load_fleet
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.model.rack.fleet import Fleet

CENTRAL = Tier(
    name="middle", number=1, address="192.0.2.10", central="middle",
    central_address="192.0.2.10", sites=("north", "south"),
)  # fmt: skip
NORTH = Tier(
    name="north", number=2, address="192.0.2.17", central="middle",
    central_address="192.0.2.10", sites=("north", "south"), mtu=9000,
)  # fmt: skip
PASSWORDS = {name: f"pw-{name}" for name in tier_files.password_names(["north", "south"], "middle")}
USERS = {name: f"id-{name}" for name in PASSWORDS}
PASTE = "keystone = cors request_id catch_errors"


def sound(text: str) -> str:
    return ""


def fleet(text: str = FLEET) -> Fleet:
    return load_fleet(text, Path("fleet.yaml"), sound).fleet


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def neutron_of(tier: Tier) -> configparser.ConfigParser:
    files = tier_files.list_neutron_files(tier, PASSWORDS, USERS, PASTE)
    assert [one.path for one in files] == [
        f"/etc/neutron/{name}" for name in ("neutron.conf", "api-paste.ini", "policy.yaml")
    ]
    assert "request_id isthmus_refusals sizelimit" in files[1].text
    assert f"user_id:id-neutron-{tier.name}" in files[2].text
    return read(files[0].text)


def test_a_site_loads_the_plugins_of_a_site_and_asks_central() -> None:
    conf = neutron_of(NORTH)
    assert conf["DEFAULT"]["core_plugin"] == "isthmus_local"
    assert conf["DEFAULT"]["base_mac"] == "fa:16:02:00:00:00"
    assert conf["DEFAULT"]["global_physnet_mtu"] == "9000"
    assert conf["isthmus"]["carrier_user"] == "id-isthmus-xjob-north"
    assert conf["isthmus"]["auth_url"] == "http://192.0.2.10:5000/v3"
    assert conf["ovn"]["ovn_sb_connection"] == "tcp:192.0.2.17:6642"
    # It is given its own passwords, and those of no other tier.
    held = {name for name, one in PASSWORDS.items() if f"{one}\n" in as_text(conf)}
    assert held == {"neutron-north", "isthmus-north"}
    assert "neutron:pw-database-neutron-north@localhost/neutron?" in conf["database"]["connection"]


def as_text(conf: configparser.ConfigParser) -> str:
    return "".join(f"{value}\n" for name in conf.sections() for value in conf[name].values())


def test_central_has_no_data_plane_and_xjob_a_lane_for_each_site() -> None:
    conf = neutron_of(CENTRAL)
    assert conf["DEFAULT"]["core_plugin"] == "isthmus_central"
    assert "ovn" not in conf
    xjob = read(tier_files.make_xjob_file(CENTRAL, PASSWORDS).text)
    assert set(xjob.sections()) == {"isthmus_xjob", "isthmus_xjob:north", "isthmus_xjob:south"}
    assert xjob["isthmus_xjob:south"]["password"] == "pw-isthmus-xjob-south"


def test_keystone_hashes_as_it_does_by_itself() -> None:
    (file,) = tier_files.list_keystone_files(CENTRAL, PASSWORDS)
    conf = read(file.text)
    assert conf["identity"]["password_hash_rounds"] == "12"
    assert conf["DEFAULT"]["public_endpoint"] == "http://192.0.2.10:5000"


def test_people_of_a_lab_are_not_in_a_cloud() -> None:
    addresses = {"middle": "192.0.2.10", "north": "192.0.2.17", "south": "192.0.2.33"}
    plan = tier_files.plan_people(CENTRAL, addresses, PASSWORDS)
    assert {user["name"] for user in plan["users"]} == {
        *(f"neutron-{name}" for name in addresses), "isthmus-xjob",
        *(f"{who}-{site}" for site in ("north", "south") for who in ("isthmus", "isthmus-xjob")),
    }  # fmt: skip
    assert plan["projects"] == ("service",)
    networks = [row for row in plan["endpoints"] if row["service_type"] == "network"]
    assert {row["url"] for row in networks} == {f"http://{one}:9696" for one in addresses.values()}
    assert json.dumps(plan)


def test_a_machine_gets_the_databases_of_its_tier_alone() -> None:
    both = tier_files.list_databases(CENTRAL, PASSWORDS)
    assert {one.name for one in both} == {"neutron", "keystone"}
    own = tier_files.list_databases(NORTH, PASSWORDS)
    assert own == [Database("neutron", "neutron", "pw-database-neutron-north")]
    assert "pw-" not in repr(own)
    sql = tier_files.render_database_sql(own)
    assert 'USER neutron@localhost IDENTIFIED BY "pw-database-neutron-north"' in sql


def test_the_administrator_has_an_entry_for_each_tier() -> None:
    clouds = yaml.safe_load(tier_files.render_clouds(CENTRAL, PASSWORDS))["clouds"]
    assert list(clouds) == ["middle", "north", "south"]
    assert clouds["south"]["auth"]["password"] == "pw-admin"


def test_sites_keep_their_numbers() -> None:
    assert number_sites(fleet(), {}) == {"middle": 1, "north": 2}
    # 3 was given to a site that is gone.
    assert number_sites(fleet(), {"north": 1, "gone": 3}) == {"middle": 2, "north": 1}
    full = {f"s{number}": number for number in range(1, 255)}
    with pytest.raises(errors.Exhausted, match="254 sites at most"):
        number_sites(fleet(), full)


def test_the_inventory_tells_each_site_what_it_is() -> None:
    found = fleet()
    machines = resolve_machines(found, {})
    tiers = make_tiers(found, machines, {"middle": 1, "north": 2})
    made = make_inventory(found, machines, {"c1", "n1"}, make_variables(found, tiers))
    variables = made["all"]["children"]["site_north"]["vars"]
    assert variables["isthmus_tier"]["number"] == 2
    assert variables["isthmus_tier"]["central_address"] == "192.0.2.10"
    assert variables["isthmus_addresses_of_tiers"] == {
        "middle": "192.0.2.10",
        "north": "192.0.2.17",
    }
    assert variables["isthmus_tunnel_prefixes"]["north"] == "192.0.2.16/28"
    assert made["all"]["hosts"]["n1"]["isthmus_tunnel_address"] == "192.0.2.17"


def test_sites_that_do_not_run_yet_wait_and_central_must_run() -> None:
    found = fleet()
    by_name = {one.name: one for one in resolve_machines(found, {})}
    numbers = {"middle": 1, "north": 2}
    assert make_tiers(found, [by_name["c1"]], numbers)["middle"].sites == ()
    with pytest.raises(errors.Invalid, match="no machine of middle, which is central, runs"):
        make_tiers(found, [by_name["n1"]], numbers)
    with pytest.raises(errors.Invalid, match="does not say which site is central"):
        make_tiers(dataclasses.replace(found, central=None), [], {})


def test_central_needs_no_data_plane_and_sites_no_keystone() -> None:
    assert find_faults(FLEET, sound) == ()
    told = {one.message for one in find_faults(FLEET.replace("central: middle\n", ""), sound)}
    assert told == {
        "no machine of north carries keystone, whose roles are cloud",
        "no machine of north carries isthmus-xjob, whose roles are cloud",
        "no machine of middle carries ovn-central, whose roles are all-in-one",
        "no machine of middle carries ovn-controller, whose roles are all-in-one",
    }
    (fault,) = find_faults(FLEET.replace("central: middle", "central: midle"), sound)
    assert fault.message == "there is no site midle; did you mean middle?"
