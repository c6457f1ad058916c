import configparser
import contextlib
import dataclasses
import re
import sqlite3
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from oslo_config import cfg

from isthmus.lab.plan import LabPlan, plan_lab
from isthmus.lab.tier import maker, services
from isthmus.lab.tier.clouds import PEOPLE, render_clouds
from isthmus.lab.tier.template import KEYSTONE_DB, copy_keystone
from isthmus.lab.topology import default_topology
from isthmus.services import identity
from isthmus.services.render import (
    Auth,
    Flavour,
    KeystoneServer,
    NeutronServer,
    Ovn,
    render_keystone,
    render_neutron,
    render_paste,
)

PLAN: LabPlan = plan_lab(default_topology(), name="lab", number=0, folder=Path("/lab"))
PASSWORDS = {name: f"pw-{name}" for name in identity.user_names(["site1", "site2"])}


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def make_server(flavour: Flavour, **fields: object) -> NeutronServer:
    base = {
        "flavour": flavour,
        "host": "h",
        "state_dir": Path("/s"),
        "database": "sqlite://",
        "paste_file": Path("/p"),
        "base_mac": "fa:16:01:00:00:00",
    }
    return NeutronServer(**{**base, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flavour", "core", "mechanisms"),
    [
        (Flavour.CENTRAL, "isthmus_central", "isthmus_central"),
        (Flavour.LOCAL, "isthmus_local", "ovn,isthmus_local"),
        (Flavour.STOCK, "ml2", "ovn"),
    ],
)
def test_plugins_of_each_flavour(flavour: Flavour, core: str, mechanisms: str) -> None:
    conf = read(render_neutron(make_server(flavour)))
    assert conf["DEFAULT"]["core_plugin"] == core
    assert conf["ml2"]["mechanism_drivers"] == mechanisms
    assert conf["DEFAULT"]["auth_strategy"] == "noauth"
    assert ("isthmus" in conf) == (flavour is not Flavour.STOCK)


def test_login_and_ovn_appear_where_given_and_extra_wins() -> None:
    auth = Auth(url="http://k/v3", username="u", password="secret", memcached="m:1", region="site1")
    server = make_server(
        Flavour.LOCAL,
        auth=auth,
        ovn=Ovn(northbound="unix:/nb", southbound="unix:/sb"),
        isthmus={"site": "site1"},
        extra={"ovn": {"ovn_metadata_enabled": True}, "new": {"a": 1}},
    )
    conf = read(render_neutron(server))
    assert conf["DEFAULT"]["auth_strategy"] == "keystone"
    assert conf["keystone_authtoken"]["username"] == "u"
    # Or a site would ask central's Keystone, over a WAN that may be cut.
    assert conf["keystone_authtoken"]["region_name"] == "site1"
    assert conf["ovn"]["ovn_nb_connection"] == "unix:/nb"
    assert conf["ovn"]["ovn_metadata_enabled"] == "true"
    assert conf["new"]["a"] == "1"
    assert "secret" not in repr(auth)


@pytest.mark.parametrize("cached", [True, False])
def test_keystone_keeps_what_it_has_read_for_seconds_where_it_serves(cached: bool) -> None:
    server = KeystoneServer(database="sqlite://", keys_dir=Path("/k"), cached=cached)
    cache = read(render_keystone(server))["cache"]
    assert cache["enabled"] == str(cached).lower()
    assert (cache["backend"], int(cache["expiration_time"])) == ("dogpile.cache.memory", 5)


def test_a_password_with_a_dollar_survives_oslo_config(tmp_path: Path) -> None:
    auth = Auth(url="u", username="u", password="a$b$$c", memcached="m", region="r")
    file = tmp_path / "neutron.conf"
    file.write_text(render_neutron(make_server(Flavour.STOCK, auth=auth)))
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.StrOpt("password")], "keystone_authtoken")
    conf(args=[], default_config_files=[str(file)])
    assert conf.keystone_authtoken.password == "a$b$$c"


def test_catalogue_has_every_service_of_every_tier_once() -> None:
    rows = services.plan_endpoints(PLAN)
    keys = [(row.service_type, row.region, row.interface) for row in rows]
    assert len(set(keys)) == len(keys) == 2 * 3 * 3
    public = {row.url for row in rows if row.interface is identity.Interface.PUBLIC}
    internal = {row.url for row in rows if row.interface is identity.Interface.INTERNAL}
    assert not public & internal


def test_one_template_of_the_catalogue_is_for_labs_of_any_number(tmp_path: Path) -> None:
    other = plan_lab(default_topology(), name="lab", number=7, folder=Path("/lab"))
    assert services.plan_endpoints(other) == services.plan_endpoints(PLAN)
    source = tmp_path / "template"
    source.mkdir()
    with contextlib.closing(sqlite3.connect(source / KEYSTONE_DB)) as connection, connection:
        connection.execute("CREATE TABLE endpoint (url TEXT)")
        urls = [(row.url,) for row in services.plan_endpoints(PLAN)]
        connection.executemany("INSERT INTO endpoint VALUES (?)", urls)
    copy_keystone(source, tmp_path / "lab", services.list_management_hosts(other))
    with contextlib.closing(sqlite3.connect(tmp_path / "lab" / KEYSTONE_DB)) as connection:
        found = {url for (url,) in connection.execute("SELECT url FROM endpoint")}
    hosts = {address for tier in other.tiers for address in (tier.address, tier.management_address)}
    assert {urlsplit(url).hostname for url in found} == {str(host) for host in hosts}


def test_no_service_user_is_an_administrator() -> None:
    plan = identity.plan_identity(["site1"], [], PASSWORDS)
    roles = {user.name: {grant.role for grant in user.grants} for user in plan.users}
    assert roles["isthmus-site1"] == {"isthmus_site"}
    assert roles["isthmus-xjob"] == {"isthmus_xjob"}
    assert roles["isthmus-xjob-site1"] == {"isthmus_carrier"}
    assert roles["neutron-central"] == roles["neutron-site1"] == {"service"}
    assert [name for name, held in roles.items() if "admin" in held] == ["admin"]


def test_clouds_are_named_for_tiers_and_people() -> None:
    clouds = yaml.safe_load(render_clouds(PLAN, PASSWORDS))["clouds"]
    tiers = ("central", "site1", "site2")
    assert set(clouds) == {before + tier for before in PEOPLE for tier in tiers}
    assert clouds["site1"]["region_name"] == "site1"
    assert clouds["other-site1"]["auth"]["project_name"] == "other"


def test_every_program_has_a_log_and_a_name_of_its_own() -> None:
    setting = services.Setting(
        plan=PLAN,
        passwords=PASSWORDS,
        keystone_dir=Path("/lab/keystone"),
        users={name: f"id-of-{name}" for name in PASSWORDS},
        paste=render_paste("keystone = cors request_id authtoken\n"),
        flavour={
            str(tier.name): Flavour.CENTRAL if tier.is_central else Flavour.LOCAL
            for tier in PLAN.tiers
        },
    )
    programs = [p for host in PLAN.hypervisors for p in services.plan_hypervisor(PLAN, host)]
    for tier in PLAN.tiers:
        found = services.plan_tier(setting, tier)
        programs += [*found.early, *found.middle, *found.late]
    assert len({program.name for program in programs}) == len(programs)
    assert len({program.log for program in programs}) == len(programs)
    for program in programs:
        env = program.birth.env if program.birth else program.env
        assert env[maker.MARKER] == "/lab"


def test_what_opens_one_tier_opens_no_other() -> None:
    """Of all that stands in a site's files, no user has a login anywhere else."""
    setting = services.Setting(
        plan=PLAN,
        passwords=PASSWORDS,
        users={name: f"id-of-{name}" for name in PASSWORDS},
        keystone_dir=Path("/lab/keystone"),
        paste=render_paste("keystone = cors request_id authtoken\n"),
        flavour=dict.fromkeys(("central", "site1", "site2"), Flavour.LOCAL),
    )
    held: dict[str, set[str]] = {}
    for tier in PLAN.tiers:
        files = services.plan_tier(setting, tier).files
        text = "\n".join(files.values())
        held[tier.name] = {name for name, secret in PASSWORDS.items() if f"= {secret}\n" in text}
        service_api = yaml.safe_load(files[PLAN.tier_dir(tier) / "policy.yaml"])["service_api"]
        assert service_api == f"role:service and (user_id:id-of-neutron-{tier.name})"
        paste = files[PLAN.tier_dir(tier) / "api-paste.ini"]
        assert "request_id isthmus_refusals sizelimit authtoken" in paste
        if not tier.is_central:
            conf = read(files[PLAN.tier_dir(tier) / "neutron.conf"])
            assert conf["isthmus"]["carrier_user"] == f"id-of-isthmus-xjob-{tier.name}"
    assert held["site1"] == {"neutron-site1", "isthmus-site1"}
    assert held["site2"] == {"neutron-site2", "isthmus-site2"}
    lanes = {"isthmus-xjob-site1", "isthmus-xjob-site2"}
    assert held["central"] == {"neutron-central", "isthmus-xjob", *lanes}


def test_each_hypervisor_has_a_metadata_agent_where_a_person_wants_them() -> None:
    names = identity.user_names(["site1", "site2"], compute=True)
    wanted = services.Setting(
        plan=PLAN,
        passwords={name: f"pw-{name}" for name in names},
        users={name: f"id-of-{name}" for name in names},
        keystone_dir=Path("/lab/keystone"),
        paste=render_paste("keystone = cors request_id authtoken\n"),
        flavour=dict.fromkeys(("central", "site1", "site2"), Flavour.LOCAL),
        compute=True,
        metadata=True,
    )
    site = PLAN.sites[1]
    found = services.plan_tier(wanted, site)
    home = PLAN.tier_dir(site)
    assert read(found.files[home / "neutron.conf"])["ovn"]["ovn_metadata_enabled"] == "true"
    agents = {one.name: one for one in found.late if one.name.endswith(".metadata")}
    assert set(agents) == {f"{host.name}.metadata" for host in site.hypervisors}
    for host in site.hypervisors:
        conf = read(found.files[PLAN.host_dir(host) / "metadata.ini"])
        assert conf["DEFAULT"]["metadata_proxy_shared_secret"] == "pw-nova-site2"
        assert conf["DEFAULT"]["nova_metadata_host"] == str(site.address)
        assert conf["AGENT"]["root_helper"] == "env", "what it starts has the lab's mark"
        assert agents[f"{host.name}.metadata"].netns == host.netns
    plain = services.plan_tier(dataclasses.replace(wanted, metadata=False), site)
    assert read(plain.files[home / "neutron.conf"])["ovn"]["ovn_metadata_enabled"] == "false"
    assert not [one for one in plain.late if one.name.endswith(".metadata")]


def test_a_tier_on_mariadb_has_its_own() -> None:
    setting = services.Setting(
        plan=PLAN,
        passwords=PASSWORDS,
        users={name: f"id-of-{name}" for name in PASSWORDS},
        keystone_dir=Path("/lab/keystone"),
        paste=render_paste("keystone = cors request_id authtoken\n"),
        flavour=dict.fromkeys(("central", "site1", "site2"), Flavour.LOCAL),
        mariadb=True,
    )
    for tier in PLAN.tiers:
        home = PLAN.tier_dir(tier)
        found = services.plan_tier(setting, tier)
        (server,) = (each for each in found.early if each.name == f"{tier.name}.mariadb")
        assert server.socket == f"{home}/mariadb.sock"
        assert f"--datadir={home}/mariadb" in server.argv
        url = read(found.files[home / "neutron.conf"])["database"]["connection"]
        assert url.startswith("mysql+pymysql://root@localhost/neutron?")
        assert f"unix_socket={server.socket}" in url


@pytest.mark.parametrize("flavour", [Flavour.CENTRAL, Flavour.LOCAL])
def test_the_lab_loads_what_operators_are_told_to_load(flavour: Flavour) -> None:
    """All plugins of ours, by the names that packages and the page of hooks have for them."""
    rendered = read(render_neutron(make_server(flavour)))
    loaded = {
        "core plugin": rendered["DEFAULT"]["core_plugin"],
        "service plugin": rendered["DEFAULT"]["service_plugins"],
        "ML2 mechanism driver": rendered["ml2"]["mechanism_drivers"],
        "ML2 extension driver": rendered["ml2"]["extension_drivers"],
        "IPAM driver": rendered["DEFAULT"]["ipam_driver"],
    }
    root = Path(__file__).resolve().parents[2]
    packaged = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]
    groups = ["core_plugins", "service_plugins", "ml2.mechanism_drivers"]
    groups += ["ml2.extension_drivers", "ipam_drivers"]
    page = (root / "docs" / "explanation" / "hooks.md").read_text()
    for (kind, names), group in zip(loaded.items(), groups, strict=True):
        every = set(names.split(","))
        assert not any("." in one for one in every), f"{kind}: by class"
        ours = {one for one in every if "isthmus" in one}
        of_tier = {
            one
            for one in packaged[f"neutron.{group}"]
            if one.startswith(f"isthmus_{flavour.value}") or one == "isthmus_keys"
        }
        if flavour is Flavour.CENTRAL:
            of_tier.discard("isthmus_keys")
        assert ours == of_tier, kind
        told = re.findall(rf"^\| {kind} \|([^|]*)\|", page, re.MULTILINE)
        assert ours <= set(re.findall(r"`(\w+)`", " ".join(told))), kind
