"""Ansible over what was built: the files are read by Ansible itself, and a play tells its hosts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from isthmus.build.configure.settings import (
    Strategy,
    Tuning,
    choose_control_folder,
    choose_forks,
    render_settings,
)
from isthmus.model.rack.build import BuildEvent, Happening
from isthmus.store.build_log import BuildLog
from isthmus.testing.build.build_fleet import SMALL

BIN = Path(sys.executable).parent
PLAY = """\
- hosts: role_control
  gather_facts: false
  tasks:
  - name: Write a file
    ansible.builtin.copy: {content: "{{ isthmus_vip }}", dest: "{{ out }}/{{ inventory_hostname }}"}
  - name: Break one
    ansible.builtin.command: /bin/false
    changed_when: false
    when: inventory_hostname == broken | default('')
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a build in which all but c3 are active; `local` stands for ssh."""
    (tmp_path / "fleet.yaml").write_text(SMALL)
    (tmp_path / "play.yaml").write_text(PLAY)
    path = (Happening.STARTED, Happening.POWERED, Happening.ASKED, Happening.WRITING,
            Happening.WRITTEN, Happening.REPORTED)  # fmt: skip
    with BuildLog(tmp_path / "state") as log:
        for node in ("c1", "c2", "n1"):
            for kind in path:
                log.append(BuildEvent(at=1.0, kind=kind, node=node))
    return tmp_path


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from isthmus.cli.main import run; run()", "build", *words],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **env},
    )  # fmt: skip


def test_ansible_reads_inventory_and_settings(folder: Path) -> None:
    done = run(folder, "configure", "fleet.yaml", "--state", "state")
    assert done.returncode == 0, done.stderr
    assert "3 hosts in " in done.stderr
    config = str(folder / "state/ansible/ansible.cfg")
    env = {**os.environ, "ANSIBLE_CONFIG": config, "LC_ALL": "C.UTF-8"}
    listed = subprocess.run(
        [BIN / "ansible-inventory", "--list"], env=env, capture_output=True, text=True, check=True
    )
    found = json.loads(listed.stdout)
    assert sorted(found["role_control"]["hosts"]) == ["c1", "c2"]
    assert found["service_nova_compute"]["hosts"] == ["n1"]
    assert sorted(found["rack_north_r1"]["hosts"]) == ["c1", "c2"]
    variables = found["_meta"]["hostvars"]["c1"]
    assert variables["ansible_host"] == "192.0.2.20"
    assert variables["isthmus_vip"] == "192.0.2.5"
    dumped = subprocess.run(
        [BIN / "ansible-config", "dump", "--only-changed", "-t", "all", "--format", "yaml"],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    settings = {one["name"]: one["value"] for one in yaml.safe_load(dumped.stdout) if "name" in one}
    assert settings["DEFAULT_GATHERING"] == "explicit"
    assert settings["CACHE_PLUGIN"] == "jsonfile"
    assert settings["DEFAULT_TIMEOUT"] == 60
    assert "pipelining" in dumped.stdout


def test_a_play_tells_each_host(folder: Path) -> None:
    (folder / "out").mkdir()
    run(folder, "configure", "fleet.yaml", "--state", "state")
    words = ("configure", "fleet.yaml", "play.yaml", "--state", "state")
    local = {"ANSIBLE_CONNECTION": "local", "LC_ALL": "C"}  # a root's shell has no other
    # In the place of ssh, and of the interpreter that the image has.
    extra = folder / "state/ansible/env"
    extra.mkdir(parents=True)
    (extra / "extravars").write_text(
        json.dumps({"out": str(folder / "out"), "ansible_connection": "local",
                    "ansible_python_interpreter": sys.executable})
    )  # fmt: skip
    done = run(folder, *words, **local)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "c1 changed: Write a file" in done.stderr
    assert (folder / "out/c1").read_text() == "192.0.2.5"
    again = run(folder, *words, **local)
    assert "changed" not in again.stderr
    (extra / "extravars").write_text(
        json.dumps({"out": str(folder / "out"), "ansible_connection": "local", "broken": "c2",
                    "ansible_python_interpreter": sys.executable})
    )  # fmt: skip
    broken = run(folder, *words, **local)
    assert broken.returncode == 1
    assert "c2 failed: Break one" in broken.stderr


def test_nothing_is_configured_before_something_runs(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(SMALL)
    done = run(tmp_path, "configure", "fleet.yaml", "--state", "none")
    assert done.returncode == 2
    assert "there is no build in none: isthmus build run first" in done.stderr
    assert not (tmp_path / "none").exists()
    (tmp_path / "none").mkdir()
    done = run(tmp_path, "configure", "fleet.yaml", "--state", "none")
    assert done.returncode == 2
    assert "no machine of fleet.yaml is active yet: isthmus build run first" in done.stderr


def test_forks_follow_hosts_and_cores() -> None:
    assert [choose_forks(*one) for one in ((3, 8), (800, 2), (800, 16), (1, 1), (50, 1))] == [
        *(3, 20, 160, 1, 10),
    ]
    text = render_settings(Tuning(forks=7, strategy=Strategy.FREE, gather=True), Path("/f"))
    assert "forks = 7\nstrategy = free\ngathering = implicit\n" in text


def test_sockets_of_ssh_fit_into_a_path() -> None:
    assert choose_control_folder(Path("/srv/build/ansible")) == "/srv/build/ansible/cp"
    assert choose_control_folder(Path("/" + "x" * 45)).endswith("x/cp")
    long, other = Path("/" + "x" * 46), Path("/" + "y" * 46)
    assert choose_control_folder(long).startswith("~/.ansible/cp/")
    assert choose_control_folder(long) != choose_control_folder(other)


def test_what_all_tasks_load_is_loaded_once_before(folder: Path) -> None:
    run(folder, "configure", "fleet.yaml", "--state", "state")
    looked = """
import sys
from ansible.plugins.loader import callback_loader, init_plugin_loader
init_plugin_loader()
kept = "ansible_collections.isthmus.site.plugins.connection.kept"
wanted = {"ansible.executor.module_common", kept}
assert not wanted & set(sys.modules), wanted & set(sys.modules)
callback_loader.get("isthmus.site.warm").v2_playbook_on_start(None)
assert wanted <= set(sys.modules), wanted - set(sys.modules)
"""
    env = {**os.environ, "ANSIBLE_CONFIG": str(folder / "state/ansible/ansible.cfg")}
    env["LC_ALL"] = "C.UTF-8"
    subprocess.run([sys.executable, "-c", looked], env=env, check=True, timeout=120)
    settings = (folder / "state/ansible/ansible.cfg").read_text()
    assert "callbacks_enabled = isthmus.site.warm" in settings
