"""`isthmus port rebind` while others act on the same port; both tiers on MariaDB."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.front import Front, isthmus
from tests.neutron.local_server import LocalServer
from tests.neutron.mariadb import central, site1, sound
from tests.neutron.server import User
from tests.neutron.test_local_apply import carried
from tests.neutron.test_port_rebind import Bound
from tests.neutron.test_trunks import bind, in_ovn, make_ports, person, settle, sub

from isthmus.testing.cloud import running

pytestmark = [pytest.mark.neutron, pytest.mark.db, pytest.mark.timeout(600)]

__all__ = ["central", "site1", "sound"]

_PROGRAM = "from isthmus.cli.main import run; run()"


class Operators:
    """Several people with one cloud; their commands run at once."""

    def __init__(self, bound: Bound, folder: Path) -> None:
        self.bound, self.folder = bound, folder

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *words],
            env={**os.environ, **self.bound.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def both(self, *commands: list[str]) -> list[tuple[int, str]]:
        started = [self.start(*words) for words in commands]
        ended = []
        for one in started:
            _, said = one.communicate(timeout=240)
            ended.append((one.returncode, said))
        return ended


@pytest.fixture
def operators(central: CentralServer, site1: LocalServer, tmp_path: Path) -> Iterator[Operators]:
    with running(Front(central=central.call, Region1=site1.call)) as front:
        bound = Bound(central, site1, front.write_clouds(tmp_path))
        assert bound.bind("host1")["binding:vif_type"] == "ovs"
        bound.known()
        yield Operators(bound, tmp_path)


def agree(bound: Bound) -> str:
    """Check that Neutron and OVN have a port on one hypervisor, and return which."""
    shown = bound.shown()
    host = str(shown["binding:host_id"])
    assert (shown["binding:vif_type"], bound.option("requested-chassis")) == ("ovs", host)
    return host


def test_two_at_once_to_two_hypervisors_leave_it_on_one(operators: Operators) -> None:
    for _ in range(4):
        ended = operators.both(
            ["port", "rebind", operators.bound.id, "--host", "host1"],
            ["port", "rebind", operators.bound.id, "--host", "host2"],
        )
        assert {code for code, _ in ended} <= {0, 2, 3}, ended
        assert 0 in {code for code, _ in ended}, ended
        assert agree(operators.bound) in ("host1", "host2"), ended


def test_two_at_once_to_where_it_is_leave_it_bound(operators: Operators) -> None:
    for _ in range(4):
        ended = operators.both(*[["port", "rebind", operators.bound.id]] * 3)
        assert {code for code, _ in ended} <= {0, 2, 3}, ended
        assert agree(operators.bound) == "host1", ended


def test_a_port_that_a_server_moves_to_is_not_bound_there_by_another(operators: Operators) -> None:
    """Nova has the port on two while a server moves; Neutron tried it again and again."""
    bound = operators.bound
    body: Any = {"binding": {"host": "host2"}}
    nova = User("nova", "service", ("admin", "service"))
    made = bound.site.call("POST", f"/v2.0/ports/{bound.id}/bindings", body, nova)
    assert made.status in (200, 201), made.body
    ((code, said),) = operators.both(["port", "rebind", bound.id, "--host", "host2"])
    assert code == 2, said
    assert f"Nova moves the server of port {bound.id} to host2 just now" in said
    assert agree(bound) == "host1"
    ((code, said),) = operators.both(["port", "rebind", bound.id])
    assert code == 0, said
    away = re.search(
        r"DELETE (/v2\.0/ports/\S+)",
        operators.both(["port", "rebind", bound.id, "--host", "host2"])[0][1],
    )
    assert away
    assert bound.site.call("DELETE", away[1], None, nova).status == 204
    ((code, said),) = operators.both(["port", "rebind", bound.id, "--host", "host2"])
    assert code == 0, said
    assert agree(bound) == "host2"


def test_a_port_that_is_deleted_meanwhile_is_gone(operators: Operators) -> None:
    bound = operators.bound
    rebinding = operators.start("port", "rebind", bound.id)
    deleted = bound.site.delete("port", bound.id)
    _, said = rebinding.communicate(timeout=240)
    assert deleted.status == 204
    assert rebinding.returncode in (0, 2), said
    assert bound.site.get(f"ports/{bound.id}").status == 404


def test_a_subport_stays_one(operators: Operators) -> None:
    bound, user = operators.bound, person()
    parent, child = make_ports(bound.central, user, 2)
    bind(bound.site, parent)
    settle(bound.central, bound.site)
    bound.central.create("trunk", user, port_id=parent, sub_ports=[sub(child, 100)])
    carried(bound.central, bound.site)
    assert in_ovn(bound.site, child) == (parent, "100")
    before = bound.site.get(f"ports/{child}").only()
    ended = operators.both(["port", "rebind", child])
    after = bound.site.get(f"ports/{child}").only()
    assert in_ovn(bound.site, child) == (parent, "100"), ended
    for name in ("binding:host_id", "binding:vif_type", "device_owner", "status"):
        assert after[name] == before[name], (name, ended)


def test_many_comparisons_asked_for_at_once_are_one(operators: Operators) -> None:
    ended = operators.both(*[["site", "resync", "site1", "-o", "json"]] * 4)
    assert {code for code, _ in ended} == {0}, ended
    rows = operators.bound.central.call("GET", "/v2.0/site-renewals?site=site1").only()
    assert len([one for one in rows if one["state"] == "waiting"]) == 1


def test_a_lease_that_is_returned_thrice_at_once_is_asked_for(operators: Operators) -> None:
    lease = str(uuid.uuid4())
    ended = operators.both(*[["lease", "return", "site1", lease]] * 3)
    assert {code for code, _ in ended} == {0}, ended
    assert ("lease", lease) in operators.bound.central.jobs("site1")
    carried(operators.bound.central, operators.bound.site)


@pytest.mark.stress
@pytest.mark.parametrize(
    "word", ["x" * 20_000, "a\x1b[31mb", "\udcff", " ", "a\nb", "%00", "../../x"]
)
def test_odd_words_are_refused(operators: Operators, word: str) -> None:
    """Not called a bug, and nothing of a terminal's is passed on."""
    for command in (
        ["port", "rebind", word],
        ["port", "rebind", operators.bound.id, "--host", word],
        ["port", "show", word],
        ["port", "release", word],
        ["lease", "return", word, str(uuid.uuid4())],
        ["lease", "return", "site1", word],
        ["lease", "list", "--site", word],
        ["lease", "list", "--pool", word],
        ["site", "resync", word],
        ["site", "resync", "site1", "--network", word],
        ["site", "show", word],
        ["site", "update", "site1", "--zone", "zone1", "--description", word],
        ["job", "list", "--site", word],
        ["job", "show", word],
        ["job", "retry", word],
        ["event", "list", "--resource", word],
        ["audit", "--network", word],
        ["network", "show", word],
        ["gone", "free", word, "--yes"],
    ):
        ran = isthmus(operators.bound.environment, *command, code=None)
        said = ran.stdout + ran.stderr
        assert ran.returncode in (0, 1, 2), (command[:2], said[:1000])
        assert "bug in isthmus" not in said, (command[:2], said[:1000])
        assert "\x1b" not in said, command[:2]
        assert len(ran.stderr) < 4000, (command[:2], len(ran.stderr))


def test_a_reader_binds_and_returns_nothing(operators: Operators) -> None:
    for words in (
        ["port", "rebind", operators.bound.id],
        ["lease", "return", "site1", str(uuid.uuid4())],
        ["site", "resync", "site1"],
    ):
        ran = isthmus(operators.bound.environment, *words, "--os-cloud", "watcher", code=2)
        assert "bug" not in ran.stderr
    assert agree(operators.bound) == "host1"
