"""The files and processes of a site's Nova."""

import ast
import configparser
import json
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from isthmus import errors
from isthmus.clients.http import lab_cloud
from isthmus.lab.compute import image, services
from isthmus.lab.compute.bring import ComputeRequest
from isthmus.lab.compute.services import ComputeFiles, ComputeServices, People
from isthmus.lab.plan import LabPlan, plan_lab
from isthmus.lab.tier import maker, mariadb
from isthmus.lab.topology import default_topology
from isthmus.services import compute, identity

PLAN: LabPlan = plan_lab(default_topology(), name="lab", number=0, folder=Path("/lab"))
_NAMES = identity.user_names(["site1", "site2"], compute=True)
PEOPLE = People(
    passwords={name: f"pw-{name}" for name in _NAMES}, ids={name: f"id-{name}" for name in _NAMES}
)


@pytest.fixture
def files(tmp_path: Path) -> ComputeFiles:
    paste = tmp_path / "paste.ini"
    paste.write_text("[composite:osapi_compute]\n")
    return ComputeFiles(nova_paste=paste, glance_paste=paste)


def plan(files: ComputeFiles, number: int = 0, cells: int = 1) -> ComputeServices:
    return services.plan_compute(PLAN, PLAN.sites[number], PEOPLE, files, cells)


def read(texts: Mapping[Path, str], name: str) -> configparser.ConfigParser:
    (text,) = [text for path, text in texts.items() if str(path).endswith(name)]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_every_process_has_a_name_and_a_log_of_its_own_and_the_labs_mark(
    files: ComputeFiles,
) -> None:
    both = [plan(files, number) for number in (0, 1)]
    programs = [
        one for each in both for one in (*each.early, *each.middle, *each.late, each.discovery)
    ]
    assert len({one.name for one in programs}) == len(programs)
    assert len({one.log for one in programs}) == len(programs)
    for program in programs:
        env = program.birth.env if program.birth else program.env
        assert env[maker.MARKER] == "/lab"
    assert {one.netns for one in both[0].early} == {PLAN.sites[0].netns}
    hosts = {one.netns for one in both[0].late if one.name.endswith(".compute")}
    assert hosts == {host.netns for host in PLAN.sites[0].hypervisors}


def test_a_hypervisor_knows_its_cells_queue_and_no_database(files: ComputeFiles) -> None:
    site = PLAN.sites[0]
    made = plan(files, cells=2)
    cells = []
    for host in site.hypervisors:
        conf = read(made.files, f"{host.name}/nova/nova.conf")
        assert "database" not in conf
        assert "api_database" not in conf
        assert conf["DEFAULT"]["host"] == host.name
        assert conf["isthmus"]["netns"] == host.netns
        cells.append(conf["DEFAULT"]["transport_url"].rpartition("/")[2])
    assert cells == ["cell1", "cell2"], "hypervisors are dealt out in turn"


def test_a_cells_conductor_knows_its_cell_alone_and_the_api_all(files: ComputeFiles) -> None:
    made = plan(files, cells=2)
    for number in (1, 2):
        cell = read(made.files, f"cell{number}.conf")
        assert "api_database" not in cell
        assert f"/nova_cell{number}?" in cell["database"]["connection"]
        assert cell["DEFAULT"]["transport_url"].endswith(f"/cell{number}")
    api = read(made.files, "compute/nova.conf")
    assert "/nova_api?" in api["api_database"]["connection"]
    assert "/nova_cell0?" in api["database"]["connection"]


def test_no_file_of_a_site_holds_what_opens_another_tier(files: ComputeFiles) -> None:
    for number, own in ((0, "nova-site1"), (1, "nova-site2")):
        for path, text in plan(files, number).files.items():
            for name, password in PEOPLE.passwords.items():
                assert name == own or password not in text, path
    assert "pw-" not in repr(plan(files).site)


def test_nobody_but_the_sites_own_neutron_and_nova_is_a_service_to_nova(
    files: ComputeFiles,
) -> None:
    made = plan(files)
    (text,) = [text for path, text in made.files.items() if path.name == "policy.yaml"]
    assert json.loads("{" + text.strip().replace("\n", ",") + "}") == {
        "context_is_admin": "role:admin or user_id:id-neutron-site1",
        "service_api": "role:service and (user_id:id-nova-site1 or user_id:id-neutron-site1)",
    }
    conf = read(made.files, "compute/nova.conf")
    assert conf["oslo_policy"]["policy_file"] == "/lab/tier/site1/compute/policy.yaml"


def test_no_cell_is_without_a_hypervisor(files: ComputeFiles) -> None:
    def ask(cells: int) -> ComputeRequest:
        return ComputeRequest(files=files, upload=lambda *_: None, cells=cells)

    ask(1).check(default_topology(2, 1))
    ask(2).check(default_topology(2, 2))
    with pytest.raises(errors.Invalid, match="3 cells need as many hypervisors, and site1 has 2"):
        ask(3).check(default_topology(2, 2))


def test_the_queue_begins_with_a_vhost_for_each_cell(files: ComputeFiles) -> None:
    made = plan(files, cells=3)
    (text,) = [text for path, text in made.files.items() if path.name == "definitions.json"]
    begins = json.loads(text)
    assert [one["name"] for one in begins["vhosts"]] == ["/", "cell1", "cell2", "cell3"]
    assert {one["vhost"] for one in begins["permissions"]} == {"/", "cell1", "cell2", "cell3"}
    user, admin = begins["users"]
    assert (admin["name"], admin["tags"]) == ("isthmus", ["administrator"])
    assert user["password"] == "pw-nova-site1"


def test_a_lab_without_nova_has_no_user_and_no_endpoint_of_it() -> None:
    without = identity.user_names(["site1"])
    with_it = identity.user_names(["site1"], compute=True)
    assert set(with_it) - set(without) == {"nova-site1"}
    plain = identity.plan_identity(["site1"], [], dict.fromkeys(without, ""))
    assert dict(plain.services).keys() == {"identity", "network"}
    people = identity.plan_identity(["site1"], [], dict.fromkeys(with_it, ""), compute=True)
    assert {"compute", "image", "placement"} <= dict(people.services).keys()
    (nova,) = [user for user in people.users if user.name == "nova-site1"]
    assert [grant.role for grant in nova.grants] == [identity.ROLE_SERVICE]


def test_the_placeholders_of_a_template_are_novas_own() -> None:
    assert compute.CELL_DATABASE.format(name="nova_cell1") == (
        "{scheme}://{username}@{hostname}/nova_cell1?{query}"
    )
    assert compute.CELL_DATABASE_LOGIN.format(name="nova_cell1") == (
        "{scheme}://{username}:{password}@{hostname}/nova_cell1?{query}"
    )
    assert compute.CELL_TRANSPORT.format(name="cell1") == (
        "{scheme}://{username}:{password}@{hostname}:{port}/cell1"
    )


def test_the_image_is_one_program_that_needs_nothing_of_ours() -> None:
    text = image.render_image().decode()
    assert text.startswith("#!/usr/bin/env python3\n")
    tree = ast.parse(text)
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in imported if name.startswith("isthmus")]
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert {"DHCP_CONF", "DHCP_SCRIPT"} <= assigned


def test_a_queue_answers_once_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as queue:
        url = f"tcp://127.0.0.1:{queue.getsockname()[1]}"
        assert lab_cloud.answers(url)
    assert not lab_cloud.answers(url)


def test_a_mariadb_keeps_its_temporary_tables_to_itself(tmp_path: Path) -> None:
    """One that starts removes each of its tmpdir: two in /tmp broke each other's installation."""
    words = mariadb.mariadb_words(tmp_path, "data", tmp_path / "s")
    assert f"--tmpdir={tmp_path}" in words
