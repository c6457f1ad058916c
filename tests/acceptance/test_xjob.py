"""Xjob as a process, against a small cloud on loopback and a real SQLite file."""

import datetime
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows
from tests.ports.journal_rows import list_jobs

from isthmus import errors
from isthmus.journal import crash
from isthmus.model.intent import IntentKey, Job, JobState
from isthmus.model.item import refused
from isthmus.model.resource import ResourceType
from isthmus.model.site import Site, SiteName, SiteState
from isthmus.services.render import render_sections
from isthmus.store.delivery import journal
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.page import Page
from isthmus.store.sql.tables import METADATA
from isthmus.store.tiers import mapping, site
from isthmus.testing.cloud import Cloud, running_cloud
from isthmus.testing.until import until

XJOB = [sys.executable, "-c", "from isthmus.worker.main import run; run()"]
ONE, TWO = SiteName("site1"), SiteName("site2")
NETWORK = IntentKey(ONE, ResourceType.NETWORK, "n1")
PORT = IntentKey(ONE, ResourceType.PORT, "p1")
PORT_AT_TWO = IntentKey(TWO, ResourceType.PORT, "p2")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Central:
    """Central's database and the cloud around it."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.cloud = cloud
        self.url = f"sqlite:///{folder / 'central.db'}"
        self.engine = open_engine(self.url)
        for metadata in (METADATA, neutron_rows.METADATA):
            metadata.create_all(self.engine)
        with writing(self.engine) as connection:
            for name in (ONE, TWO):
                one = Site(
                    name=name, region=name, availability_zones=(name,), service_user=f"u-{name}"
                )
                site.insert(connection, one, now=now())
        self.groups: dict[str, dict[str, object]] = {}  #: laid over the rest
        self.config = folder / "xjob.conf"
        self.log = folder / "xjob.log"
        self.configure()

    def configure(self, **options: object) -> None:
        values: dict[str, object] = {
            "auth_type": "v3password",
            "auth_url": f"{self.cloud.url}/v3",
            "username": "isthmus-xjob",
            "password": "secret",
            "user_domain_id": "default",
            "project_name": "service",
            "project_domain_id": "default",
            "poll_interval_s": 0.05,
            "probe_interval_s": 0.2,
            # So long that nothing which is slow counts for dead.
            "claim_s": 600,
            "connect_timeout_s": 60,
            "call_timeout_s": 120,
            **options,
        }
        login = self.login = {name: values[name] for name in list(values)[:7]}
        groups = {"isthmus_xjob": values}
        for name in (ONE, TWO):
            groups[f"isthmus_xjob:{name}"] = {**login, "username": f"isthmus-xjob-{name}"}
        groups |= self.groups
        self.config.write_text(render_sections({"database": {"connection": self.url}, **groups}))

    def want(self, *keys: IntentKey) -> None:
        for key in keys:
            self.cloud.wanted[key.lane, key.type.value, key.id] = {"id": key.id}
        with writing(self.engine) as connection:
            journal.record(connection, keys)

    def jobs(self) -> list[Job]:
        with reading(self.engine) as connection:
            return list_jobs(connection)

    def site(self, name: SiteName) -> dict[str, object]:
        with reading(self.engine) as connection:
            return next(
                row for row in site.list_rows(connection, {}, Page()) if row["name"] == name
            )

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        begun = self.begun()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*XJOB, "--config-file", str(self.config)],
                stderr=log,
                env={**os.environ, **environment},
            )
        until(lambda: self.begun() > begun, what="xjob begins")
        return process

    def begun(self) -> int:
        return self.log.read_text().count("xjob begins") if self.log.exists() else 0


@pytest.fixture
def central(tmp_path: Path) -> Iterator[Central]:
    with running_cloud(ONE, TWO) as cloud:
        made = Central(tmp_path, cloud)
        yield made
        made.engine.dispose()


@pytest.fixture
def xjob(central: Central) -> Iterator[subprocess.Popen[bytes]]:
    process = central.start()
    yield process
    end(process)


def end(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return process.wait(120)


def test_intents_reach_their_sites_and_go(central: Central, xjob: subprocess.Popen[bytes]) -> None:
    central.want(NETWORK, PORT, PORT_AT_TWO)
    until(lambda: not central.jobs())
    assert set(central.cloud.sites[ONE].held) == {("network", "n1"), ("port", "p1")}
    assert set(central.cloud.sites[TWO].held) == {("port", "p2")}
    assert end(xjob) == 0
    assert "xjob ends" in central.log.read_text()


def test_a_removal_that_arrived_takes_its_mapping_along(
    central: Central, xjob: subprocess.Popen[bytes]
) -> None:
    with writing(central.engine) as connection:
        mapping.record(connection, ResourceType.PORT, ["p1"], ONE, now=now())
        journal.record(connection, [PORT])
    until(lambda: not central.jobs())
    with reading(central.engine) as connection:
        assert mapping.count_at(connection, ONE) == 0


def test_a_dead_site_delays_nobody_and_catches_up(
    central: Central, xjob: subprocess.Popen[bytes]
) -> None:
    until(lambda: central.site(ONE)["reachability"] == "reachable")
    central.cloud.sites[ONE].cut = True
    central.want(NETWORK, PORT_AT_TWO)
    until(lambda: central.cloud.sites[TWO].held)
    until(lambda: central.site(ONE)["reachability"] == "unreachable")
    assert "site1 cannot be reached" in str(central.site(ONE)["last_error"])
    until(lambda: central.site(TWO)["reachability"] == "reachable")
    until(lambda: len(central.jobs()) == 1)
    (job,) = central.jobs()
    assert (job.key, job.attempts) == (NETWORK, 0)
    central.cloud.sites[ONE].cut = False
    until(lambda: not central.jobs())
    until(lambda: central.site(ONE)["reachability"] == "reachable")
    assert central.site(ONE)["last_error"] == ""


def test_a_refused_object_is_parked_with_its_reason(
    central: Central, xjob: subprocess.Popen[bytes]
) -> None:
    central.cloud.sites[ONE].refuse = lambda item: refused(item, errors.Invalid("bad mtu"))
    central.want(NETWORK)
    job = until(lambda: next((one for one in central.jobs() if one.state is JobState.PARKED), None))
    assert job.last_error == "isthmus.refused.invalid: bad mtu"


def test_a_disabled_site_is_left_alone(central: Central, xjob: subprocess.Popen[bytes]) -> None:
    until(lambda: central.site(TWO)["reachability"] == "reachable")
    with writing(central.engine) as connection:
        one = site.get_by_name(connection, ONE)
        row_id = str(site.find_row_id(connection, ONE))
        changed = Site(
            name=ONE,
            region=one.region,
            availability_zones=one.availability_zones,
            service_user=one.service_user,
            state=SiteState.DISABLED,
        )
        site.update(connection, row_id, changed, now=now())
    until(lambda: "lane=site1 ends" in central.log.read_text())
    central.want(NETWORK, PORT_AT_TWO)
    until(lambda: len(central.jobs()) == 1)
    assert [job.key for job in central.jobs()] == [NETWORK]
    assert central.cloud.sites[ONE].batches == []


def test_sigterm_lets_the_batch_in_hand_finish(central: Central) -> None:
    here = central.cloud.sites[ONE]
    here.gate = threading.Event()
    process = central.start()
    central.want(NETWORK)
    assert here.waiting.wait(120)
    process.send_signal(signal.SIGTERM)
    here.gate.set()
    assert process.wait(120) == 0
    assert central.jobs() == []
    assert ("network", "n1") in here.held


def test_sighup_reads_the_configuration_again(
    central: Central, xjob: subprocess.Popen[bytes]
) -> None:
    until(lambda: "xjob begins batch=50" in central.log.read_text())
    central.configure(batch=0)
    xjob.send_signal(signal.SIGHUP)
    until(lambda: "the old configuration stays in force" in central.log.read_text())
    central.configure(auth_type="v3passwort")
    xjob.send_signal(signal.SIGHUP)
    until(lambda: "reload: [isthmus_xjob] makes no login" in central.log.read_text())
    central.configure(batch=7)
    xjob.send_signal(signal.SIGHUP)
    until(lambda: "xjob begins batch=7" in central.log.read_text())
    central.want(NETWORK)
    until(lambda: not central.jobs())


@pytest.mark.parametrize(
    "point", [name for name, _ in crash.POINTS if name.startswith("delivery.")]
)
def test_a_worker_that_is_killed_loses_nothing(central: Central, point: str) -> None:
    central.configure(claim_s=3600)  # the heir sees that its owner is dead
    dead = central.start(**{crash.VARIABLE: point})
    central.want(NETWORK, PORT)
    assert dead.wait(120) == crash.EXIT_CODE
    heir = central.start()
    until(lambda: not central.jobs(), what=f"the heir of {point}")
    assert set(central.cloud.sites[ONE].held) == {("network", "n1"), ("port", "p1")}
    assert end(heir) == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[isthmus_xjob]\n", "[database] connection is not set"),
        ("[database]\nconnection = what\n", "not a database URL"),
        ("[database]\nconnection = sqlite:///x\n[isthmus_xjob]\nbatch = many\n", "batch"),
        (
            "[database]\nconnection = sqlite:///x\n[isthmus_xjob]\nclaim_s = 1\n",
            "claim_s (1) is shorter than call_timeout_s (30)",
        ),
        (None, "Failed to find some config files"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, text: str | None, sentence: str
) -> None:
    path = tmp_path / "xjob.conf"
    if text is not None:
        path.write_text(text)
    ran = subprocess.run(
        [*XJOB, "--config-file", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_orphans_are_swept(central: Central, xjob: subprocess.Popen[bytes]) -> None:
    orphan = IntentKey(SiteName("gone"), ResourceType.PORT, "p9")
    with writing(central.engine) as connection:
        journal.record(connection, [orphan])
    central.configure(journal_sweep_s=1)
    xjob.send_signal(signal.SIGHUP)
    until(lambda: not central.jobs())


def test_two_workers_share_the_work(central: Central) -> None:
    first, second = central.start(), central.start()
    ports = [IntentKey(ONE, ResourceType.PORT, f"p{number:03}") for number in range(120)]
    central.want(*ports)
    until(lambda: not central.jobs())
    assert len(central.cloud.sites[ONE].held) == 120
    here = central.cloud.sites[ONE]
    assert here.sequences == sorted(here.sequences)
    carried = [item.id for batch in here.batches for item in batch]
    assert len(carried) == len(set(carried)), "nothing was carried twice"
    assert (end(first), end(second)) == (0, 0)


def test_a_database_without_tables_is_waited_for(central: Central) -> None:
    with central.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE isthmus_sites RENAME TO away"))
    process = central.start()
    until(lambda: "no such table: isthmus_sites" in central.log.read_text())
    with central.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO isthmus_sites"))
    central.want(NETWORK)
    until(lambda: not central.jobs())
    assert end(process) == 0


def test_no_site_sees_a_token_that_another_tier_knows(
    central: Central, xjob: subprocess.Popen[bytes]
) -> None:
    central.want(NETWORK, PORT_AT_TWO)
    until(lambda: not central.jobs())
    seen: dict[str, set[str]] = {}
    for tier, caller in central.cloud.callers:
        if tier != "v3":
            seen.setdefault(tier, set()).add(caller)
    assert seen == {
        "central": {"isthmus-xjob"},
        "site1": {"isthmus-xjob-site1"},
        "site2": {"isthmus-xjob-site2"},
    }


@pytest.mark.parametrize(
    ("login", "why"),
    [
        ({}, "has no auth_type: it needs a user for site1 alone"),
        ({"username": "isthmus-xjob"}, "name one user: each needs its own"),
        ({"username": "isthmus-xjob-site2"}, "name one user: each needs its own"),
        (
            {"auth_url": None},
            "[isthmus_xjob:site1] makes no login: Auth plugin requires parameters",
        ),
        ({"auth_type": "v3passwort"}, "[isthmus_xjob:site1] makes no login: The plugin v3passwort"),
        ({"auth_section": "elsewhere"}, "[isthmus_xjob:site1] makes no login: no such"),
    ],
)
def test_a_lane_without_a_login_of_its_own_is_not_carried(
    central: Central, login: dict[str, object], why: str
) -> None:
    login = {**central.login, **login} if login else {}
    login = {name: value for name, value in login.items() if value is not None}
    central.groups = {"isthmus_xjob:site1": login}
    central.configure()
    central.want(NETWORK, PORT_AT_TWO)
    process = central.start()
    try:

        def told() -> bool:
            with reading(central.engine) as connection:
                rows = site.list_rows(connection, {}, Page())
            return any(why in row["last_error"] for row in rows)

        until(told)
        until(lambda: len(central.jobs()) == 1)
        assert ("site1", "isthmus-xjob") not in central.cloud.callers
        users = [caller for tier, caller in central.cloud.callers if tier.startswith("site")]
        assert len(users) == len(set(users)) == 1
    finally:
        process.terminate()
        process.wait(120)
