"""A new database is made with no password among a process's arguments."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.neutron

CREATE = [sys.executable, "-m", "isthmus.neutron.db.create"]


def test_a_password_is_no_argument() -> None:
    url = "mysql+pymysql://neutron:secret@db.invalid/neutron"
    ran = subprocess.run([*CREATE, url], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "--url-file" in ran.stderr
    assert "secret" not in ran.stderr


def test_the_url_stands_in_a_file(tmp_path: Path) -> None:
    database = tmp_path / "neutron.db"
    file = tmp_path / "url"
    file.write_text(f"sqlite:///{database}\n")
    subprocess.run([*CREATE, "--url-file", str(file)], check=True, capture_output=True)
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("SELECT count(*) FROM isthmus_sites").fetchone() == (0,)
    finally:
        connection.close()
