"""What machines of a site with Placement, Glance and Nova get, and what a fleet has to place."""

import configparser
import dataclasses
import json
from pathlib import Path

import pytest
from tests.lab.test_build_site import COMPUTE_FLEET
from tests.unit.test_build_needs import SECOND, fleet, require
from tests.unit.test_build_site import CENTRAL, NORTH, PASTE, neutron_of, read

from isthmus import errors
from isthmus.build.configure import compute_files, tier_files
from isthmus.build.configure.folder import list_passwords
from isthmus.build.configure.inventory import make_inventory
from isthmus.build.configure.site_variables import make_tiers, make_variables
from isthmus.build.configure.tier_files import File
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.lab.compute import services
from isthmus.lab.compute.services import ComputeFiles, People
from isthmus.lab.plan import plan_lab
from isthmus.lab.topology import default_topology
from isthmus.services import identity

NAMES = tier_files.password_names(["north", "south"], "middle", compute=True)
PASSWORDS = {name: f"pw-{name}" for name in NAMES}
USERS = {name: f"id-{name}" for name in NAMES}
SITE, TIER = (
    dataclasses.replace(
        tier, with_placement=("north",), with_glance=("north",), with_nova=("north",)
    )
    for tier in (NORTH, CENTRAL)
)
HOST = {"name": "n1", "address": "192.0.2.17", "environment": "/opt/isthmus"}
GLANCE_PASTE = "/opt/isthmus/etc/glance/glance-api-paste.ini"


def files_of_a_site() -> list[File]:
    return [
        *compute_files.list_rabbitmq_files(SITE, PASSWORDS),
        *compute_files.list_placement_files(SITE, PASSWORDS),
        *compute_files.list_glance_files(SITE, PASSWORDS, GLANCE_PASTE),
        *compute_files.list_nova_files(SITE, PASSWORDS, USERS, PASTE, 2),
        compute_files.make_compute_file(SITE, PASSWORDS, HOST),
    ]


def conf_of(path: str) -> configparser.ConfigParser:
    (text,) = [one.text for one in files_of_a_site() if one.path == path]
    return read(text)


def test_each_file_holds_passwords_of_its_own_site_and_of_its_services() -> None:
    held = {
        file.path: {name for name, one in PASSWORDS.items() if one in file.text}
        for file in files_of_a_site()
    }
    api = {"nova-north", "rabbitmq-north", "database-nova-north"}
    assert held == {
        "/etc/rabbitmq/rabbitmq.conf": set(),
        "/etc/rabbitmq/definitions.json": {"rabbitmq-north"},
        "/etc/rabbitmq/rabbitmq-env.conf": set(),
        "/etc/placement/placement.conf": {"nova-north", "database-placement-north"},
        "/etc/glance/glance-api.conf": {"nova-north", "database-glance-north"},
        "/etc/nova/nova.conf": api,
        "/etc/nova/api-paste.ini": set(),
        "/etc/nova/policy.yaml": set(),
        "/etc/nova/cell1.conf": api,
        "/etc/nova/nova-compute.conf": {"nova-north", "rabbitmq-north"},
    }


def test_services_find_their_database_queue_and_keystone() -> None:
    nova = conf_of("/etc/nova/nova.conf")
    assert nova["DEFAULT"]["transport_url"] == "rabbit://nova:pw-rabbitmq-north@192.0.2.17:5672/"
    for section, name in (("api_database", "nova_api"), ("database", "nova_cell0")):
        assert nova[section]["connection"] == (
            f"mysql+pymysql://nova:pw-database-nova-north@localhost/{name}"
            "?unix_socket=/run/mysqld/mysqld.sock&charset=utf8mb4"
        )
    assert nova["conductor"]["workers"] == "2"
    assert "quota" not in nova
    assert nova["placement"]["region_name"] == "north"
    placement = conf_of("/etc/placement/placement.conf")
    # There is one Keystone, in the region of central.
    assert placement["keystone_authtoken"]["region_name"] == "middle"
    assert placement["keystone_authtoken"]["auth_url"] == "http://192.0.2.10:5000/v3"
    glance = conf_of("/etc/glance/glance-api.conf")
    assert glance["file"]["filesystem_store_datadir"] == "/var/lib/glance/images"
    assert glance["paste_deploy"]["config_file"] == GLANCE_PASTE


def test_a_hypervisor_has_the_queue_of_its_cell_and_no_database() -> None:
    conf = conf_of("/etc/nova/nova-compute.conf")
    assert not {"database", "api_database"} & set(conf)
    assert conf["DEFAULT"]["host"] == "n1"
    assert conf["DEFAULT"]["transport_url"].endswith("@192.0.2.17:5672/cell1")
    assert conf["isthmus"]["switch_socket"] == "/run/openvswitch/db.sock"
    assert "metadata_proxy_shared_secret" not in conf["neutron"]


def test_virtual_machines_are_made_by_libvirt() -> None:
    file = compute_files.make_compute_file(SITE, PASSWORDS, HOST, "kvm")
    conf = read(file.text)
    assert conf["DEFAULT"]["compute_driver"] == "libvirt.LibvirtDriver"
    assert conf["DEFAULT"]["instances_path"] == "/var/lib/nova-compute/instances"
    assert conf["libvirt"]["virt_type"] == "kvm"
    assert conf["vif_plug_ovs_privileged"]["helper_command"] == (
        "/opt/isthmus/bin/privsep-helper --config-file /etc/nova/nova-compute.conf"
    )
    assert conf["os_vif_ovs"]["ovsdb_connection"] == "unix:/run/openvswitch/db.sock"
    assert "isthmus" not in conf
    with pytest.raises(errors.Invalid, match="no driver xen of Nova: give one of namespaces, kvm"):
        compute_files.make_compute_file(SITE, PASSWORDS, HOST, "xen")


def test_machines_read_what_the_labs_services_read(tmp_path: Path) -> None:
    """Options differ where they are listed here: a new one of the lab's is on machines as well."""
    paste = tmp_path / "paste.ini"
    paste.write_text("")
    plan = plan_lab(default_topology(), name="lab", number=0, folder=Path("/lab"))
    names = identity.user_names(["site1", "site2"], compute=True)
    words = dict.fromkeys(names, "x")
    people = People(passwords=words, ids=words)
    sources = ComputeFiles(nova_paste=paste, glance_paste=paste)
    lab = services.plan_compute(plan, plan.sites[0], people, sources).files

    metadata = {
        ("neutron", "service_metadata_proxy"),
        ("neutron", "metadata_proxy_shared_secret"),
    }
    quotas = {("quota", one) for one in ("instances", "cores", "ram")}
    home = services.find_home(plan, plan.sites[0])
    host = next(one for one in lab if one.parts[-2:] == ("nova", "nova.conf"))
    own = {one.path: one.text for one in files_of_a_site()}
    for file, path, apart in (
        (home / "placement.conf", "/etc/placement/placement.conf", set[tuple[str, str]]()),
        (home / "glance-api.conf", "/etc/glance/glance-api.conf", set()),
        (home / "nova.conf", "/etc/nova/nova.conf", metadata | quotas),
        (home / "cell1.conf", "/etc/nova/cell1.conf", metadata),
        (host, "/etc/nova/nova-compute.conf", metadata),
    ):
        assert options(lab[file]) - options(own[path]) == apart, path
        assert not options(own[path]) - options(lab[file]), path


def options(text: str) -> set[tuple[str, str]]:
    conf = configparser.ConfigParser(interpolation=None, default_section="none")
    conf.read_string(text)
    return {(name, key) for name in conf.sections() for key in conf[name]}


def test_neutron_tells_nova_and_takes_it_for_a_service() -> None:
    files = tier_files.list_neutron_files(SITE, PASSWORDS, USERS, PASTE)
    conf = read(files[0].text)
    assert conf["nova"]["region_name"] == "north"
    assert conf["DEFAULT"]["notify_nova_on_port_status_changes"] == "true"
    assert conf["DEFAULT"]["global_physnet_mtu"] == "9000"
    assert "(user_id:id-neutron-north or user_id:id-nova-north)" in files[2].text
    plain = neutron_of(NORTH)
    assert "nova" not in plain
    assert plain["DEFAULT"]["notify_nova_on_port_status_changes"] == "false"


def test_only_sites_that_have_it_are_in_the_catalogue() -> None:
    addresses = {"middle": "192.0.2.10", "north": "192.0.2.17", "south": "192.0.2.33"}
    plan = tier_files.plan_people(TIER, addresses, PASSWORDS)
    rows = {
        (row["service_type"], row["region"]): row["url"]
        for row in plan["endpoints"]
        if row["service_type"] not in {"network", "identity"}
    }
    assert rows == {
        ("placement", "north"): "http://192.0.2.17:8778",
        ("image", "north"): "http://192.0.2.17:9292",
        ("compute", "north"): "http://192.0.2.17:8774/v2.1",
    }
    assert {"nova-north", "nova-south"} <= {user["name"] for user in plan["users"]}


def test_a_user_of_several_databases_is_made_once_and_before_its_rights() -> None:
    found = tier_files.list_databases(SITE, PASSWORDS)
    assert [one.name for one in found if one.user == "nova"] == [
        "nova_api",
        "nova_cell0",
        "nova_cell1",
    ]
    lines = tier_files.render_database_sql(found).splitlines()
    made = [line for line in lines if "USER nova@" in line]
    assert made == ['CREATE OR REPLACE USER nova@localhost IDENTIFIED BY "pw-database-nova-north";']
    granted = [number for number, line in enumerate(lines) if "TO nova@localhost" in line]
    assert len(granted) == 3
    assert lines.index(made[0]) < granted[0]


def test_the_queue_begins_with_the_cells_vhost_and_is_alone() -> None:
    _, definitions, variables = compute_files.list_rabbitmq_files(SITE, PASSWORDS, "+S 1:1")
    assert [one["name"] for one in json.loads(definitions.text)["vhosts"]] == ["/", "cell1"]
    assert variables.text.splitlines() == [
        "NODENAME=isthmus@localhost",
        'SERVER_ADDITIONAL_ERL_ARGS="+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}"',
        "export ERL_EPMD_ADDRESS=127.0.0.1",
    ]


def test_the_inventory_tells_which_sites_have_what() -> None:
    found = fleet(COMPUTE_FLEET)
    machines = resolve_machines(found, {})
    tiers = make_tiers(found, machines, {"middle": 1, "north": 2})
    made = make_inventory(found, machines, {"c1", "n1"}, make_variables(found, tiers))
    groups = made["all"]["children"]
    for name in ("with_placement", "with_glance", "with_nova"):
        assert groups["site_middle"]["vars"]["isthmus_tier"][name] == ["north"]
    assert list(groups["service_nova_compute"]["hosts"]) == ["n1"]
    assert made["all"]["hosts"]["n1"]["isthmus_service_address"] == "192.0.2.17"
    assert set(list_passwords(found, {})) >= {"nova-north", "rabbitmq-north"}


def test_a_fleet_with_nova_places_all_that_it_needs() -> None:
    require(COMPUTE_FLEET)
    # Placement and Glance may be there without a Nova.
    alone = [line for line in COMPUTE_FLEET.splitlines(True) if " nova-" not in line]
    require("".join(alone))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "  glance: [all-in-one]\n",
            "",
            "north has a Nova, and n1 has to carry glance, too",
        ),
        (
            "  nova-compute: [all-in-one]\n",
            "",
            "north has a Nova, and no machine of it carries nova-compute",
        ),
        (
            "- {name: cloud}\n",
            "- {name: cloud}\n- {name: bare}\n",
            "n2 carries nova-compute and has to carry ovn-controller, too",
        ),
        (
            "  placement: [all-in-one]\n",
            "  placement: [all-in-one, bare]\n",
            "n2 carries placement, which n1 of north can alone",
        ),
    ],
)
def test_what_a_nova_lacks_is_named(old: str, new: str, said: str) -> None:
    assert old in COMPUTE_FLEET
    text = COMPUTE_FLEET.replace(old, new)
    if "bare" in new:
        text = text.replace("- {name: cloud}\n", "- {name: cloud}\n- {name: bare}\n", 1)
        text = text.replace("- {name: bare}\n- {name: bare}\n", "- {name: bare}\n")
        text = text.replace("nova-compute: [all-in-one]", "nova-compute: [all-in-one, bare]")
        text += SECOND % "bare"
    with pytest.raises(errors.Invalid, match=said):
        require(text)
