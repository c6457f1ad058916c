"""One claim of 50 intents, and one look at all lanes, in a short journal and in a very long one.

The peer is the same call on the same MariaDB with 1,000 intents waiting, taken in turns with ours;
every claim is given back before the next. MariaDB runs as a process of our own, at its defaults but
for a buffer pool that holds the journal.
"""

import argparse
import contextlib
import os
import pwd
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from bench.ground import say_machine
from isthmus.model.intent import Outcome, Settlement
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.delivery import job as job_store
from isthmus.store.delivery import sweep
from isthmus.store.delivery.journal_engine import SqlJournal
from isthmus.store.sql.engine import open_engine, reading, writing
from isthmus.store.sql.tables import METADATA

TARGET_RATIO = 2.0
LANES = 1000
BATCH = 50
LANE = SiteName("site7")

_FILL = sa.text(
    """
    INSERT INTO isthmus_journal (lane, type, resource_id, id, `rank`, generation, attempts,
                                 not_before, parked, created_at, changed_at)
    SELECT CONCAT('site', seq MOD :lanes), 'shadow', UUID(), UUID(), :rank, 1, 0, NULL, 0,
           UTC_TIMESTAMP(), UTC_TIMESTAMP()
    FROM seq_1_to_1000000 WHERE seq <= :total
    """
)
_SITES = sa.text(
    """
    INSERT INTO isthmus_sites (id, name, region, availability_zones, state, service_user,
                               tunnel_prefixes, description, reachability, created_at, updated_at)
    SELECT UUID(), CONCAT('site', seq), CONCAT('site', seq), '[]', 'enabled', CONCAT('user', seq),
           '[]', '', 'reachable', UTC_TIMESTAMP(), UTC_TIMESTAMP()
    FROM seq_0_to_999
    """
)


@contextlib.contextmanager
def open_mariadb(folder: Path) -> Iterator[str]:
    """Run a MariaDB; gives the form of the URL of its databases."""
    server = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert server is not None, "mariadbd is missing: install mariadb-server-core"
    user = pwd.getpwuid(os.getuid()).pw_name
    own = ["--no-defaults", f"--datadir={folder / 'data'}", f"--user={user}", f"--tmpdir={folder}"]
    install = ["mariadb-install-db", *own, "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, capture_output=True)
    socket = folder / "s"
    more = [f"--socket={socket}", "--skip-networking", "--innodb-buffer-pool-size=1G"]
    log = (folder / "log").open("wb")
    process = subprocess.Popen([server, *own, *more], stdout=log, stderr=log)
    try:
        while not socket.exists():
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        yield f"mysql+pymysql://root@localhost/{{}}?unix_socket={socket}&charset=utf8mb4"
    finally:
        process.terminate()
        process.wait()
        log.close()


def make_database(form: str, name: str) -> None:
    """Create an empty database."""
    root = sa.create_engine(form.format("mysql"))
    with root.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    root.dispose()


def fill(form: str, name: str, total: int) -> sa.Engine:
    """Make a tier's database with so many intents waiting."""
    make_database(form, name)
    engine = open_engine(form.format(name))
    METADATA.create_all(engine)
    with writing(engine) as connection:
        connection.execute(_SITES)
        values = {"lanes": min(LANES, max(total // 100, 10)), "total": total}
        connection.execute(_FILL, {**values, "rank": ResourceType.SHADOW.rank})
    with engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE TABLE isthmus_journal")
    return engine


def claim(engine: sa.Engine) -> float:
    """Take a claim of a batch; gives how long it took, and gives the batch back."""
    store = SqlJournal(engine)
    begin = time.perf_counter()
    batch = store.claim(LANE, owner="bench", claim_s=60, limit=BATCH)
    taken = time.perf_counter() - begin
    assert len(batch.claims) == BATCH, len(batch.claims)
    store.settle([Settlement(claim=one, outcome=Outcome.AGAIN) for one in batch.claims])
    return taken


def look(engine: sa.Engine) -> float:
    """Ask which lanes have work."""
    begin = time.perf_counter()
    SqlJournal(engine).due_lanes()
    return time.perf_counter() - begin


def count(engine: sa.Engine) -> float:
    """Count what waits in every lane."""
    begin = time.perf_counter()
    with reading(engine) as connection:
        job_store.count_lanes(connection)
    return time.perf_counter() - begin


def release(engine: sa.Engine) -> float:
    """Look for claims of dead workers."""
    begin = time.perf_counter()
    with writing(engine) as connection:
        sweep.release_dead(connection, lambda _owner: False)
        sweep.drop_orphans(connection)
    return time.perf_counter() - begin


def compare(
    call: Callable[[sa.Engine], float], short: sa.Engine, long: sa.Engine, rounds: int
) -> tuple[float, float]:
    """Call in turns; gives the medians in milliseconds."""
    for engine in (short, long):
        call(engine)
    found = [(call(short), call(long)) for _ in range(rounds)]
    return (
        statistics.median(one for one, _ in found) * 1000,
        statistics.median(other for _, other in found) * 1000,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Claims in a short and in a long journal.")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--total", type=int, default=1_000_000, help="intents in the long one")
    options = parser.parse_args()
    say_machine("before")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-bench-"))
        form = stack.enter_context(open_mariadb(Path(folder)))
        short = fill(form, "few", 1000)
        long = fill(form, "many", options.total)
        ratio = 0.0
        for name, call, rounds in (
            (f"claim of {BATCH}", claim, options.rounds),
            ("look at all lanes", look, options.rounds),
            ("sweep of dead and deleted", release, options.rounds),
            ("count of all lanes", count, 5),
        ):
            few, many = compare(call, short, long, rounds)
            ratio = ratio or many / few
            print(
                f"{name + ':':27} {few:8.1f} ms with 1,000, {many:8.1f} ms with {options.total:,}"
            )
        print(f"claim: ratio {ratio:.2f}, target at most {TARGET_RATIO}")
        for engine in (short, long):
            engine.dispose()
    say_machine("after")
    return 0 if ratio <= TARGET_RATIO else 1
