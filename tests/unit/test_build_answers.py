"""What machines are answered, by their stage and their token."""

import socket
from http.client import HTTPConnection
from pathlib import Path

import pytest
from typing_extensions import override

from isthmus.build.boot.place import Place
from isthmus.build.fleet.check import check_fleet
from isthmus.build.fleet.resolve import resolve_fleet
from isthmus.build.plan.spec import digest
from isthmus.build.run.answers import Answers, Reply
from isthmus.build.run.board import make_board
from isthmus.build.run.builder import Builder
from isthmus.clients.build.service import NodeService
from isthmus.model.rack.build import Happening, Stage
from isthmus.model.rack.fleet import Limits
from isthmus.testing.build.build_fleet import SMALL
from isthmus.testing.build.build_run import DirectPool, MemoryLog, PlayedPower


class Site:
    """A builder of four machines, one of them on its way."""

    def __init__(self) -> None:
        fleet = check_fleet(SMALL).fleet
        assert fleet is not None
        self.now = 100.0
        self.log = MemoryLog()
        machines = resolve_fleet(fleet)
        self.builder = Builder(
            machines,
            [],
            log=self.log,
            power=PlayedPower(),
            pool=DirectPool(),
            limits=Limits(parallel=1, attempts=2),
            key=b"k",
            specs={one.name: digest(one) for one in machines},
            clock=lambda: self.now,
        )
        self.answers = Answers(self.builder, Place(fleet.builder, Path("/s"), Path("/i")))
        self.builder.step()

    @property
    def token(self) -> str:
        return self.builder.token_of("c1")

    def get(self, path: str, query: str = "") -> Reply:
        return self.answers.answer("GET", path, query, "", "192.0.2.20")

    def post(self, kind: str, body: str = "", token: str = "") -> Reply:
        path = f"/api/report/{token or self.token}/{kind}"
        return self.answers.answer("POST", path, "", body, "192.0.2.20")

    def stage(self) -> Stage:
        return self.builder.standings["c1"].stage


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_machine_goes_its_way(site: Site) -> None:
    assert site.stage() is Stage.PROVISION
    script = site.get("/api/boot", "mac=52-54-00-00-00-01").text
    assert f"isthmus.token={site.token}" in script
    assert site.stage() is Stage.INSPECT
    assert "DEVICE=/dev/vda\n" in site.get(f"/api/orders/{site.token}").text
    assert site.post("inspected", "memory_mib=512&cpus=1").status == 200
    assert site.post("writing").status == 200
    assert "hostname" in site.get(f"/api/seed/{site.token}/files.sh").text
    assert site.post("written", "written_bytes=5").status == 200
    assert "sanboot" in site.get("/api/boot", "mac=52:54:00:00:00:01").text
    assert site.post("reported", "kernel=6.1").status == 200
    assert site.stage() is Stage.ACTIVE
    facts = site.builder.standings["c1"].facts
    assert facts == {"memory_mib": "512", "cpus": "1", "written_bytes": "5", "kernel": "6.1"}
    # What is said again changes nothing, and is not kept again.
    lines = len(site.log.events)
    assert site.post("written").status == 200
    assert len(site.log.events) == lines


def test_who_is_not_asked_boots_its_disk(site: Site) -> None:
    """A machine whose turn has not come may reboot: it runs what it runs."""
    assert "sanboot" in site.get("/api/boot", "mac=52-54-00-00-00-02").text
    assert "c2" not in site.builder.standings
    script = site.get("/api/boot", "mac=52-54-00-00-00-99").text
    assert "52:54:00:00:00:99 is in no fleet file" in script
    site.get("/api/boot", "mac=52-54-00-00-00-99")
    told = [one for one in site.log.events if one.kind is Happening.UNKNOWN]
    assert [one.detail for one in told] == ["52:54:00:00:00:99 at 192.0.2.20 is in no plan"]
    assert site.get("/api/boot", "mac=$(reboot)").status == 400


def test_tokens_open_one_attempt(site: Site) -> None:
    old = site.token
    site.get("/api/boot", "mac=52-54-00-00-00-01")
    site.post("writing")
    assert site.post("failed", "detail=no+space").status == 200
    site.now += 40
    site.builder.step()
    assert site.stage() is Stage.PROVISION
    assert site.builder.standings["c1"].attempt == 2
    assert site.post("reported", token=old).status == 410
    assert site.get(f"/api/orders/{old}").status == 410
    # This build had begun to write it.
    assert "WIPE=yes" in site.get(f"/api/orders/{site.token}").text
    for path in ("/", "/api", "/api/boot/x", f"/api/seed/{site.token}/../key", "/api/report/x/y"):
        assert site.get(path).status == 404


def test_a_report_cannot_flood_the_log(site: Site) -> None:
    body = "&".join(f"k{n}={'x' * 5000}" for n in range(100)) + "&detail=a%0Ab"
    site.get("/api/boot", "mac=52-54-00-00-00-01")
    site.post("inspected", body)
    kept = site.log.events[-1].fields
    assert len(kept) <= 12
    assert max(map(len, kept.values())) <= 400


def test_a_failure_says_why_and_what_comes_next(site: Site) -> None:
    site.get("/api/boot", "mac=52-54-00-00-00-01")
    site.post("failed", "detail=the+disk+is%0Afull")
    board = make_board(site.log.events, site.builder.standings, site.now)
    (trouble,) = board.troubles
    assert (trouble.node, trouble.why) == ("c1", "the disk is full")
    assert trouble.next == "it is tried again by itself"
    site.now += 40
    site.builder.step()
    site.get("/api/boot", "mac=52-54-00-00-00-01")
    site.post("failed")
    site.builder.step()
    board = make_board(site.log.events, site.builder.standings, site.now, fleet=["c1", "c2"])
    assert board.stages["quarantined"] == 1
    assert board.troubles[0].next == "isthmus build release c1, when it is mended"


class _SocketConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def test_the_service_answers_on_its_socket(tmp_path: Path, site: Site) -> None:
    def answer(method: str, path: str, query: str, body: str, source: str) -> tuple[int, str]:
        reply = site.answers.answer(method, path, query, body, source)
        return reply.status, reply.text

    service = NodeService(tmp_path / "api.sock", answer)
    try:
        connection = _SocketConnection(tmp_path / "api.sock")
        connection.request("GET", "/api/boot?mac=52-54-00-00-00-01")
        reply = connection.getresponse()
        assert (reply.status, reply.read()[:6]) == (200, b"#!ipxe")
        connection.request("POST", f"/api/report/{site.token}/writing", body="")
        assert connection.getresponse().read() == b"heard\n"
        assert site.stage() is Stage.DEPLOY
        connection.close()
    finally:
        service.close()
