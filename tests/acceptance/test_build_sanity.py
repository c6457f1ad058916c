"""The collection under Ansible's own checks of collections: `ansible-test sanity`, whole."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.build.configure.package import find_collections

pytestmark = pytest.mark.stress  # it installs what it checks with, for minutes
#: Where ansible-test would load what installs pip, from a host of its own.
_WANTED = re.compile(r"manually downloaded and saved to: (\S+)")


def run(collection: Path, home: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("ansible-test")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return subprocess.run(
        [program, "sanity", "--python", python, "--color", "no"],
        cwd=collection, capture_output=True, text=True, timeout=1500, check=False,
        env={**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip


@pytest.mark.timeout(1800)
def test_the_collection_is_clean(tmp_path: Path) -> None:
    # A copy: what is checked is what is there, and ansible-test writes beside it.
    collection = tmp_path / "ansible_collections/isthmus/site"
    shutil.copytree(find_collections() / "ansible_collections/isthmus/site", collection)
    home = tmp_path / "home"
    done = run(collection, home)
    wanted = _WANTED.search(done.stdout + done.stderr)
    if wanted:
        bootstrap = Path(wanted[1])
        bootstrap.parent.mkdir(parents=True, exist_ok=True)
        bootstrap.write_text("import ensurepip\nensurepip.bootstrap()\n")
        done = run(collection, home)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    ran = set(re.findall(r'Running sanity test "([\w-]+)"', done.stdout + done.stderr))
    assert ran >= {"validate-modules", "pylint", "import", "yamllint", "ansible-doc", "pep8"}
