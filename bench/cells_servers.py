"""1,000 of 50,000 servers in 5 cells, the newest first: ours and Nova's own in turns.

Both read the same columns of the same databases: `instances`, metadata, flavor, addresses, tags.
Nova's is `nova.compute.instance_list`, which `GET /servers/detail` calls; ours is what
`isthmus cell servers` does, with all fields rendered. Then one cell hangs: a TCP port that takes
connections and says nothing. Memory is that of a list of 1,000, and of all 50,000 servers.
"""

import argparse
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.ground import say_machine
from bench.journal_claim import make_database, open_mariadb
from isthmus.cells.servers import view
from isthmus.cells.servers.breaker import Breakers
from isthmus.cells.servers.listing import Listing, list_unknown
from isthmus.cells.servers.order import plan_order
from isthmus.model.compute.server import DETAILS, ServerQuery
from isthmus.store.nova.mappings import ApiMappings, collect_cells
from isthmus.store.nova.servers import CellServers

CELLS, EACH, LIMIT, ROUNDS = 5, 10_000, 1000, 5
BUDGET_S = 2.0
ROOT = Path(__file__).parents[1]
_NETWORKS = json.dumps(
    [
        {
            "id": "11111111-1111-4111-8111-111111111111",
            "address": "fa:16:3e:00:00:01",
            "network": {
                "id": "22222222-2222-4222-8222-222222222222",
                "bridge": "br-int",
                "label": "private",
                "subnets": [
                    {
                        "cidr": "10.0.0.0/24",
                        "ips": [{"address": "10.0.0.5", "type": "fixed", "floating_ips": []}],
                    }
                ],
            },
        }
    ]
)
_FILL = (
    # The moments are drawn, so that pages take from all cells.
    """
    INSERT INTO instances (id, uuid, created_at, updated_at, deleted, hidden, display_name, host,
                           node, project_id, user_id, vm_state, power_state, vcpus, memory_mb,
                           root_gb, ephemeral_gb, instance_type_id, locked, access_ip_v4)
    SELECT seq, UUID(), '2026-01-01' + INTERVAL FLOOR(RAND({seed}) * 30000000) SECOND,
           '2026-11-01', 0, 0, CONCAT('server-', seq), CONCAT('host', seq MOD 200),
           CONCAT('host', seq MOD 200), CONCAT('project', seq MOD 50), 'user', 'active', 1, 1,
           2048, 20, 0, 1, 0, NULL
    FROM seq_1_to_{count}
    """,
    """
    INSERT INTO instance_metadata (instance_uuid, `key`, value, deleted)
    SELECT uuid, CONCAT('key', seq), 'value', 0 FROM instances JOIN seq_1_to_3
    """,
    "INSERT INTO instance_extra (instance_uuid, flavor, deleted) SELECT uuid, '{flavor}', 0 "
    "FROM instances",
    "INSERT INTO instance_info_caches (instance_uuid, network_info, deleted) "
    "SELECT uuid, '{networks}', 0 FROM instances",
    "INSERT INTO tags (resource_id, tag) SELECT uuid, 'blue' FROM instances",
    # Of Nova's own schema, whose indexes the tests leave out.
    "CREATE INDEX i1 ON instances (deleted, created_at)",
    "CREATE INDEX i2 ON instance_metadata (instance_uuid)",
    "CREATE INDEX i3 ON instance_extra (instance_uuid)",
    "ANALYZE TABLE instances, instance_metadata, instance_extra, instance_info_caches, tags",
)
_MAP = """
    INSERT INTO nova_api.instance_mappings (instance_uuid, cell_id, project_id,
                                            queued_for_delete, created_at)
    SELECT uuid, {id}, project_id, 0, created_at FROM nova_cell{cell}.instances
"""


class Nova:
    """Nova's list in a process that waits for limits."""

    def __init__(self, *urls: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(ROOT / "bench/nova_list.py"), *urls],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.flavor = self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, limit: int) -> None:
        """Ask for a list, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{limit}\n")
        self._process.stdin.flush()

    def list(self, limit: int) -> tuple[float, float, list[str]]:
        """Return seconds, CPU seconds and uuids."""
        self.ask(limit)
        wall, cpu, uuids, down = json.loads(self._read())
        assert down == 0
        return wall, cpu, uuids

    def answers_within(self, seconds: float) -> bool:
        """Tell whether what was asked is answered by then."""
        done = threading.Event()

        def read() -> None:
            if self._read():
                done.set()

        threading.Thread(target=read, daemon=True).start()
        return done.wait(seconds)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def run(form: str, sql: str, **values: Any) -> None:
    engine = sa.create_engine(form)
    with engine.begin() as connection:
        connection.exec_driver_sql(sql.format(**values) if values else sql)
    engine.dispose()


def fill(form: str, flavor: str, each: int) -> None:
    names = ["nova_api", *(f"nova_cell{one}" for one in range(CELLS + 1)), "unused"]
    for name in names:
        make_database(form, name)
    urls = [form.format(name) for name in names]
    oracle = [sys.executable, "-W", "ignore", str(ROOT / "tests/cells/oracle.py"), "tables", *urls]
    subprocess.run(oracle, check=True, input="", stdout=subprocess.DEVNULL, text=True)
    for cell in range(CELLS + 1):
        uuid = f"00000000-0000-0000-0000-{cell:012}"
        map_cell(form, cell + 1, uuid, form.format(f"nova_cell{cell}"))
        for sql in _FILL if cell else ():
            quoted = {"flavor": flavor.replace("'", "''"), "networks": _NETWORKS}
            run(form.format(f"nova_cell{cell}"), sql, seed=cell, count=each, **quoted)
        if cell:
            run(form.format("nova_api"), _MAP, id=cell + 1, cell=cell)


def map_cell(form: str, number: int, uuid: str, url: str) -> None:
    engine = sa.create_engine(form.format("nova_api"))
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO cell_mappings (id, uuid, name, transport_url, database_connection, "
                "disabled) VALUES (:id, :uuid, :name, 'none:///', :url, 0)"
            ),
            {"id": number, "uuid": uuid, "name": f"cell{number}", "url": url},
        )
    engine.dispose()


def list_ours(api: str, limit: int | None) -> tuple[float, float, list[str], int]:
    """List as the command does; give seconds, CPU seconds, uuids and how many were UNKNOWN."""
    began, cpu = time.perf_counter(), time.process_time()
    cells = collect_cells(api, "", BUDGET_S)
    query = ServerQuery(order=plan_order(["created_at:desc"]), details=DETAILS)
    listing = Listing(cells, CellServers(BUDGET_S), query, BUDGET_S, Breakers(), limit)
    names = {one.cell.uuid: one.cell.name for one in cells}
    fields = (*view.FIELDS, view.CELL)
    uuids = [str(view.render_row(row, fields, names)["id"]) for row in listing]
    unknown = sum(1 for _ in list_unknown(listing, ApiMappings(api, BUDGET_S), ""))
    return time.perf_counter() - began, time.process_time() - cpu, uuids, unknown


def measure_memory(api: str, limit: int | None) -> tuple[int, float]:
    """Count the servers of a list that nobody keeps, and the most MiB that it held."""
    cells = collect_cells(api, "", 60.0)
    query = ServerQuery(order=plan_order(["created_at:desc"]), details=DETAILS)
    tracemalloc.start()
    count = sum(1 for _ in Listing(cells, CellServers(60.0), query, 60.0, Breakers(), limit))
    most = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return count, most


def compare(api: str, nova: Nova) -> None:
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for number in range(ROUNDS + 1):
        own, other = list_ours(api, LIMIT), nova.list(LIMIT)
        assert own[2] == other[2], "the order differs"
        if number:  # the first one warms both up
            ours.append(own[:2])
            theirs.append(other[:2])
    for name, at in (("wall", 0), ("CPU of the process", 1)):
        mine = statistics.median(one[at] for one in ours)
        peer = statistics.median(one[at] for one in theirs)
        print(f"{name}: ours {mine:.3f} s, Nova's {peer:.3f} s, ratio {peer / mine:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=EACH, help="servers of a cell")
    each = parser.parse_args().each
    say_machine("begin")
    with tempfile.TemporaryDirectory() as folder, open_mariadb(Path(folder)) as form:
        api, cell0 = form.format("nova_api"), form.format("nova_cell0")
        nova = Nova(api, cell0)
        fill(form, nova.flavor, each)
        compare(api, nova)
        nova.close()
        for limit in (LIMIT, None):
            count, most = measure_memory(api, limit)
            print(f"memory for {count} servers: {most:.1f} MiB at most")
        with socket.create_server(("127.0.0.1", 0), backlog=64) as hole:
            port = hole.getsockname()[1]
            url = f"mysql+pymysql://nova@127.0.0.1:{port}/nova"
            run(api, f"UPDATE cell_mappings SET database_connection = '{url}' WHERE id = 6")
            hung = [list_ours(api, LIMIT)[0] for _ in range(ROUNDS)]
            whole = list_ours(api, None)
            print(
                f"one cell hung, budget {BUDGET_S:g} s: ours {min(hung):.2f} to {max(hung):.2f} s; "
                f"all servers {whole[0]:.1f} s, of {len(whole[2])} and {whole[3]} UNKNOWN"
            )
            nova = Nova(api, cell0)
            nova.ask(LIMIT)
            answers = nova.answers_within(15 * BUDGET_S)
            print(f"Nova's {'answers' if answers else 'does not answer'} in {15 * BUDGET_S:g} s")
            nova.close()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"RSS of this process at most {most:.0f} MiB")
    say_machine("end")


if __name__ == "__main__":
    main()
