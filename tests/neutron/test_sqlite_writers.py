"""Neutron's transactions on SQLite: writers wait in line, readers wait for nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.neutron

#: In a process of its own: importing Neutron changes the whole interpreter.
SCRIPT = """
import sys, threading
from oslo_config import cfg
from oslo_db import options
from isthmus.neutron.db import sqlite
sqlite.install()
sqlite.install()
options.set_defaults(cfg.CONF, connection=sys.argv[1])
cfg.CONF([])
import sqlalchemy as sa
from neutron_lib import context
from neutron_lib.db import api

def sql(admin, text):
    return admin.session.execute(sa.text(text))

def count():
    for _ in range(25):
        admin = context.get_admin_context()
        with api.CONTEXT_WRITER.using(admin):
            seen = sql(admin, "select n from counter").scalar()
            with api.CONTEXT_WRITER.using(admin), admin.session.begin_nested():
                sql(admin, f"update counter set n = {seen + 1}")

if sys.argv[2] == "make":
    admin = context.get_admin_context()
    with api.CONTEXT_WRITER.using(admin):
        sql(admin, "create table counter (n integer)")
        sql(admin, "insert into counter values (0)")
elif sys.argv[2] == "count":
    threads = [threading.Thread(target=count) for _ in range(3)]
    [one.start() for one in threads]
    [one.join() for one in threads]
elif sys.argv[2] == "kept":
    import os
    opened = []
    engine = api.CONTEXT_WRITER.writer.get_engine()
    sa.event.listen(engine, "connect", lambda *_: opened.append(os.getpid()))
    threads = [threading.Thread(target=count) for _ in range(3)]
    for one in threads:
        one.start()
        one.join()
    admin = context.get_admin_context()
    print(len(opened), engine.pool.checkedin(), flush=True)
    child = os.fork()
    with api.CONTEXT_READER.using(admin):
        sql(admin, "select n from counter").scalar()
    if child == 0:
        print(opened.count(os.getpid()), len(set(opened)), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
elif sys.argv[2] == "heartbeat":
    # What Neutron does: a writer waits for OVN's connection, whose thread is sending a heartbeat.
    from neutron.db import ovn_hash_ring_db
    from neutron.objects import network  # the models know each other by name
    from neutron.db.models import ovn
    writer = context.get_admin_context()
    with api.CONTEXT_WRITER.using(writer):
        ovn.OVNHashRing.__table__.create(writer.session.connection())
    done = []
    def beat():
        try:
            ovn_hash_ring_db.touch_node(context.get_admin_context(), "node")
        except Exception as exc:
            done.append(type(exc).__name__)
        else:
            done.append("beaten")
    with api.CONTEXT_WRITER.using(writer):
        sql(writer, "update counter set n = -1")
        thread = threading.Thread(target=beat)
        thread.start()
        thread.join()
    beat()
    print(*done)
else:
    writer, reader = context.get_admin_context(), context.get_admin_context()
    with api.CONTEXT_WRITER.using(writer):
        sql(writer, "update counter set n = -1")
        with api.CONTEXT_READER.using(reader):
            print(sql(reader, "select n from counter").scalar())
        raise SystemExit
"""


def run(database: Path, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, f"sqlite:///{database}", what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=110)
    assert child.returncode == 0, err
    assert "Traceback" not in err, err
    return out


def test_threads_and_processes_count_together_and_lose_nothing(tmp_path: Path) -> None:
    database = tmp_path / "counter.db"
    finish(run(database, "make"))
    for child in [run(database, "count") for _ in range(2)]:
        finish(child)
    # Two processes, three threads each, 25 times; and the open write of "look" shows to nobody.
    assert finish(run(database, "look")).strip() == "150"


def test_a_heartbeat_does_not_wait_for_who_waits_for_it(tmp_path: Path) -> None:
    database = tmp_path / "counter.db"
    finish(run(database, "make"))
    # The first one gave up; the writer then came to its end, and the next one went well.
    assert finish(run(database, "heartbeat")).split() == ["OperationalError", "beaten"]


def test_a_connection_is_kept_for_the_next_transaction_and_not_beyond_a_fork(
    tmp_path: Path,
) -> None:
    database = tmp_path / "counter.db"
    finish(run(database, "make"))
    kept, child = finish(run(database, "kept")).splitlines()
    # One for 75 transactions, and no more than that is kept; a child opens one of its own.
    assert kept == "1 1"
    assert child == "1 2"
