"""`isthmus build` as a process: answers, exit codes, every fault in one go."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from isthmus.testing.build.build_fleet import SMALL


def isthmus(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from isthmus.cli.main import run; run()",
            "build",
            *map(str, words),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fleet.yaml").write_text(SMALL)
    (tmp_path / "bad.yaml").write_text(
        SMALL.replace("root_gib", "root_gb").replace("controllers: 3", "controllers: 2")
    )
    return tmp_path


def test_a_plan_in_three_forms(folder: Path) -> None:
    table = isthmus("plan", "fleet.yaml", folder=folder)
    assert (table.returncode, table.stderr) == (0, "")
    assert "wave 1: 4 nodes" in table.stdout
    assert "(assumed: " in table.stdout
    as_json = json.loads(isthmus("plan", "fleet.yaml", "-o", "json", folder=folder).stdout)
    as_yaml = yaml.safe_load(isthmus("plan", "fleet.yaml", "-o", "yaml", folder=folder).stdout)
    assert as_json == as_yaml
    assert [one["verb"] for one in as_json["nodes"]] == ["build"] * 4


def test_every_fault_in_one_go(folder: Path) -> None:
    done = isthmus("plan", "bad.yaml", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.yaml has 2 faults:" in done.stderr
    assert "bad.yaml:8:35: there is no key root_gb here; did you mean root_gib?" in done.stderr
    checked = isthmus("check", "bad.yaml", "-o", "json", folder=folder)
    assert checked.returncode == 1
    assert [one["line"] for one in json.loads(checked.stdout)] == [8, 20]
    assert isthmus("check", "fleet.yaml", folder=folder).returncode == 0
    gone = isthmus("check", "gone.yaml", folder=folder)
    assert (gone.returncode, gone.stderr) == (2, "error: there is no file gone.yaml\n")


def test_nfv_demand_is_checked_with_the_rest(folder: Path) -> None:
    demand = "  nfv:\n  - {role: compute, demand: {physical_networks: [{name: a}]}}\n  racks:"
    (folder / "nfv.yaml").write_text(SMALL.replace("  racks:", demand, 1))
    done = isthmus("check", "nfv.yaml", folder=folder)
    assert done.returncode == 1
    assert "nfv.yaml:25:29: the NFV demand has faults" in done.stdout


def test_a_schema_and_an_import(folder: Path) -> None:
    assert json.loads(isthmus("schema", folder=folder).stdout)["title"] == "Isthmus fleet"
    (folder / "list.csv").write_text("name,mac,bmc\nn1,52:54:00:00:00:01,203.0.113.1\nn2,x,\n")
    done = isthmus("import", "csv", "list.csv", folder=folder)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["sites"][0]["racks"][0]["nodes"][0]["name"] == "n1"
    assert "n2: the source does not tell its BMC" in done.stderr
