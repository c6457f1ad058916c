"""A person's login is kept between commands: by whom it is used, for how long, and what ends it."""

import datetime
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1 import access, exceptions
from keystoneauth1.identity.generic import Password
from typing_extensions import override

from isthmus.clients.http.login.kept import LONGEST_S, KeptLogin, find_logins_dir

NOW = datetime.datetime.now(datetime.UTC)


class Login(Password):  # type: ignore[misc]
    """A login that a Keystone without a network takes; it counts."""

    def __init__(self, *, password: str = "secret", project: str = "p", life_s: int = 3600) -> None:
        super().__init__(
            auth_url="http://192.0.2.1/v3",
            username="admin",
            password=password,
            project_name=project,
            user_domain_id="default",
            project_domain_id="default",
        )
        self.times = 0
        self.regions = ["central"]
        self._life_s = life_s

    @override
    def get_auth_ref(self, session: Any, **kwargs: Any) -> access.AccessInfo:
        self.times += 1
        endpoints = [
            {"interface": "public", "region": one, "region_id": one, "url": f"http://{one}"}
            for one in self.regions
        ]
        body = {
            "token": {
                "methods": ["password"],
                "issued_at": NOW.isoformat(),
                "expires_at": (NOW + datetime.timedelta(seconds=self._life_s)).isoformat(),
                "catalog": [{"type": "network", "name": "neutron", "endpoints": endpoints}],
            }
        }
        return access.create(body=body, auth_token=f"token-{self.times}")


def ask(login: Login, folder: Path, **options: Any) -> str:
    """Return the token that one command uses."""
    token: str = KeptLogin(login, folder, **options).get_access(None).auth_token
    return token


def the_file(folder: Path) -> Path:
    [file] = folder.iterdir()
    return file


def test_the_next_command_uses_the_token_of_the_last_one(tmp_path: Path) -> None:
    login, folder = Login(), tmp_path / "isthmus" / "logins"
    assert ask(login, folder) == ask(login, folder) == ask(Login(), folder) == "token-1"
    assert login.times == 1


def test_nobody_else_may_read_it_and_no_password_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "logins"
    ask(Login(password="correct horse"), folder)
    assert stat.S_IMODE(the_file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "correct horse" not in the_file(folder).read_text()


@pytest.mark.parametrize("other", [Login(password="other"), Login(project="q")])
def test_another_password_or_project_is_another_login(tmp_path: Path, other: Login) -> None:
    ask(Login(), tmp_path)
    ask(other, tmp_path)
    assert other.times == 1


def test_it_ends_after_minutes_and_where_the_clock_went_back(tmp_path: Path) -> None:
    login = Login()
    ask(login, tmp_path, clock=lambda: 1000.0)
    assert ask(login, tmp_path, clock=lambda: 999.0 + LONGEST_S) == "token-1"
    assert ask(login, tmp_path, clock=lambda: 1000.0 + LONGEST_S) == "token-2"
    assert ask(login, tmp_path, clock=lambda: 999.0) == "token-3"


def test_a_token_that_is_about_to_expire_is_not_used(tmp_path: Path) -> None:
    login = Login(life_s=10)
    ask(login, tmp_path)
    ask(login, tmp_path)
    assert login.times == 2


def test_a_command_may_log_in_anew_and_the_next_uses_that(tmp_path: Path) -> None:
    login = Login()
    ask(login, tmp_path)
    assert ask(login, tmp_path, anew=True) == "token-2"
    assert ask(login, tmp_path) == "token-2"


def test_a_rejected_token_is_forgotten_by_all(tmp_path: Path) -> None:
    login = Login()
    ask(login, tmp_path)
    kept = KeptLogin(login, tmp_path)
    assert kept.get_access(None).auth_token == "token-1"
    assert kept.invalidate()
    assert list(tmp_path.iterdir()) == []
    assert kept.get_access(None).auth_token == ask(login, tmp_path) == "token-2"


def test_a_region_that_came_later_is_looked_for_once_in_a_new_catalogue(tmp_path: Path) -> None:
    login = Login()
    ask(login, tmp_path)
    login.regions.append("site1")
    kept = KeptLogin(login, tmp_path)
    wanted = {"service_type": "network", "interface": "public", "discover_versions": False}
    found = kept.get_endpoint_data(None, region_name="site1", **wanted)
    assert (found.url, login.times) == ("http://site1", 2)
    with pytest.raises(exceptions.EndpointNotFound):
        kept.get_endpoint_data(None, region_name="site2", **wanted)
    assert login.times == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at": "x"}', "\xff", '{"at": 1, "salt": "zz"}'])
def test_a_file_of_no_use_is_a_login_more(tmp_path: Path, text: str) -> None:
    login = Login()
    ask(login, tmp_path)
    the_file(tmp_path).write_text(text, encoding="latin-1")
    assert ask(login, tmp_path) == "token-2"
    assert ask(login, tmp_path) == "token-2"


def test_a_state_that_keystoneauth_does_not_know_is_a_login_more(tmp_path: Path) -> None:
    login = Login()
    ask(login, tmp_path)
    body = json.loads(the_file(tmp_path).read_text())
    the_file(tmp_path).write_text(json.dumps({**body, "state": '{"body": {}}'}))
    assert ask(login, tmp_path) == "token-2"


def test_a_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    login = Login()
    ask(login, tmp_path)
    the_file(tmp_path).chmod(0o640)
    assert ask(login, tmp_path) == "token-2"


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    login, folder = Login(), tmp_path / "logins"
    ask(login, folder)
    file = the_file(folder)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert ask(login, folder) == "token-2"


def test_where_nothing_can_be_written_each_command_logs_in(tmp_path: Path) -> None:
    login = Login()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "logins", None):
        assert KeptLogin(login, folder).get_access(None).auth_token == f"token-{login.times}"
    assert login.times == 2


def test_where_logins_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert find_logins_dir() == Path("/home/one/.cache/isthmus/logins")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert find_logins_dir() == Path("/cache/isthmus/logins")
