"""What a lab's dashboard is told, where Horizon is looked for, and who may log in."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from isthmus import errors
from isthmus.lab.dashboard import served
from isthmus.lab.dashboard.bring import SERVICE, make_static, plan_dashboard
from isthmus.lab.dashboard.horizon import VARIABLE, Horizon, get_horizon
from isthmus.lab.dashboard.logins import list_logins
from isthmus.lab.dashboard.settings import HOME, HorizonServer, render_settings
from isthmus.lab.plan import LabPlan, plan_lab
from isthmus.lab.process.ledger import Made, Running
from isthmus.lab.tier.clouds import render_clouds
from isthmus.lab.tier.maker import MARKER
from isthmus.lab.tier.template import Templates
from isthmus.lab.topology import default_topology
from isthmus.model.host.process import ProcessId
from isthmus.services.identity import user_names

INSTALLED = ("horizon-27.0.0", "cheroot-11.1.2", "pymemcache-4.0.0", "whitenoise-6.12.0")
SERVER = HorizonServer(region="central", secret_key="s3cret", static_root=Path("/kept/static"))


def make_plan(folder: Path = Path("/lab"), number: int = 0) -> LabPlan:
    return plan_lab(default_topology(1, 1), name="lab", number=number, folder=folder)


def make_horizon(folder: Path, *names: str) -> Horizon:
    for name in names:
        (folder / "lib/python3.11/site-packages" / f"{name}.dist-info").mkdir(parents=True)
    return Horizon(folder)


def run_settings(text: str, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Run local settings as Horizon does, beside settings of its own."""
    package, own = ModuleType("openstack_dashboard"), ModuleType("openstack_dashboard.settings")
    own.HORIZON_CONFIG = {"user_home": "of Horizon", "other": 1}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openstack_dashboard", package)
    monkeypatch.setitem(sys.modules, "openstack_dashboard.settings", own)
    found: dict[str, Any] = {}
    exec(compile(text, "local_settings.py", "exec"), found)
    return found


def test_the_settings_are_python_that_says_where_central_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = run_settings(render_settings(SERVER), monkeypatch)
    assert said["OPENSTACK_KEYSTONE_URL"] == "http://127.0.0.1:5000/v3"
    assert said["DEFAULT_SERVICE_REGIONS"] == {"*": "central"}
    assert said["SECRET_KEY"] == "s3cret"
    assert said["STATIC_ROOT"] == "/kept/static"
    assert said["HORIZON_CONFIG"] == {"user_home": HOME, "other": 1}


def test_no_secret_is_shown_by_chance() -> None:
    assert "s3cret" not in repr(SERVER)


def test_it_is_a_program_of_central_that_down_can_find() -> None:
    plan = make_plan()
    static = Path("/kept/static")
    services = plan_dashboard(plan, Horizon(Path("/env")), static_root=static, secret_key="k")
    program, central = services.program, plan.central
    assert program.name == "central.horizon"
    assert program.netns == central.netns
    assert program.argv[0] == "/env/bin/python"
    assert program.env[MARKER] == str(plan.folder)
    assert program.url == f"http://{central.management_address}/auth/login/"
    (file,) = services.files
    assert file.is_relative_to(plan.tier_dir(central))
    assert str(file) in program.argv


def test_labs_side_by_side_are_reached_at_addresses_of_their_own() -> None:
    one, two = (
        plan_dashboard(
            make_plan(number=number), Horizon(Path("/env")), static_root=Path(), secret_key=""
        ).program.url
        for number in (0, 1)
    )
    assert one != two


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    make_horizon(tmp_path, *INSTALLED).require_there()
    lacking = make_horizon(tmp_path / "other", *INSTALLED[:2])
    with pytest.raises(errors.Unsupported, match=r"pymemcache, whitenoise .*dev setup dashboard"):
        lacking.require_there()


def test_the_environment_says_where_horizon_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(errors.Unsupported, match=str(tmp_path / "mine")):
        get_horizon()
    made = make_horizon(tmp_path / "mine", *INSTALLED)
    assert get_horizon() == made


def test_static_files_are_made_once_for_each_set_of_versions(tmp_path: Path) -> None:
    ran: list[list[str]] = []

    def run(argv: Any, **_: Any) -> Any:
        ran.append([str(word) for word in argv])
        (Path(ran[-1][3]).parent / "static").mkdir(exist_ok=True)

    templates = Templates(tmp_path / "kept", run)
    (tmp_path / "kept").mkdir()
    one = make_horizon(tmp_path / "one", *INSTALLED)
    first = make_static(templates, one, run)
    assert first.is_dir()
    assert [words[4:6] for words in ran] == [["manage", "collectstatic"], ["manage", "compress"]]
    assert make_static(templates, one, run) == first
    assert len(ran) == 2
    two = make_horizon(tmp_path / "two", "horizon-28.0.0", *INSTALLED[1:])
    assert make_static(templates, two, run) != first
    assert len(ran) == 4


def test_local_settings_are_read_from_a_file_that_is_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("ANSWER = 42\n")
    finder = served.LocalSettings(file)
    spec = finder.find_spec("openstack_dashboard.local.local_settings", None)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ANSWER == 42
    assert finder.find_spec("openstack_dashboard.settings", None) is None


def test_people_that_horizon_knows_may_log_in(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    passwords = {name: f"pw-{name}" for name in user_names(["site1"])}
    plan.clouds_file.write_text(render_clouds(plan, passwords))
    assert "demo-central" in yaml.safe_load(plan.clouds_file.read_text())["clouds"]
    program = plan_dashboard(plan, Horizon(Path("/env")), static_root=Path(), secret_key="").program
    made = Made(programs={f"central.{SERVICE}": Running(program, ProcessId(1, 1))})
    found = {row["user"]: (row["password"], row["project"]) for row in list_logins(plan, made)}
    assert found == {
        "demo": ("pw-demo", "demo"),
        "other": ("pw-other", "other"),
        "admin": ("pw-admin", "demo"),
    }


def test_a_lab_without_a_dashboard_says_how_to_have_one() -> None:
    with pytest.raises(errors.NotFound, match="isthmus lab up --dashboard"):
        list(list_logins(make_plan(), Made()))
