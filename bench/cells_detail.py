"""1,000 of 50,000 servers in 5 cells by `GET /servers/detail`: nova-api's own answer and ours.

Both are whole: Nova's router with policy, view, links, addresses, tags, faults, volumes, host
status, zones, hints and the JSON, of the newest microversion and of 2.1, in turns in one process;
the bytes of both answers are compared. The requests of an administrator go in behind what logs
people in; Neutron, which both ask for security groups, is a fake that answers at once. Nova
validates its answers against their schema by default (`[api] response_validation`), which ours does
not: its time is told with that and without it. Then one cell hangs.
"""

import argparse
import contextlib
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from bench.cells_servers import CELLS, EACH, LIMIT, ROUNDS, fill, run
from bench.ground import say_machine
from bench.journal_claim import open_mariadb

ROOT = Path(__file__).parents[1]
BUDGET_S = 5.0  #: as the filter has it without a word
HUNG_S = 30.0
WHO = {"project": "p", "roles": ["admin", "reader"]}
_MORE = (
    "UPDATE instances SET host = CONCAT('c{cell}-', host), image_ref = "
    "'70a599e0-31e7-49b7-b260-868f441e862b', launch_index = 0, hostname = display_name, "
    "availability_zone = 'nova', config_drive = '', root_device_name = '/dev/vda', "
    "reservation_id = 'r-1', launched_at = created_at, cleaned = 0, auto_disk_config = 0, "
    "progress = 0, shutdown_terminate = 0, disable_terminate = 0, "
    "vm_state = IF(id MOD 100 = 0, 'error', 'active')",
    "INSERT INTO instance_system_metadata (instance_uuid, `key`, value, deleted) SELECT uuid, "
    "CONCAT('image_', ELT(seq, 'hw_disk_bus', 'hw_vif_model', 'os_type', 'min_ram', 'min_disk', "
    "'container_format', 'disk_format', 'base_image_ref')), 'value', 0 "
    "FROM instances JOIN seq_1_to_8",
    "INSERT INTO instance_faults (instance_uuid, code, message, details, host, created_at, "
    "deleted) SELECT uuid, 500, 'No valid host', 'Traceback', host, created_at, 0 FROM instances "
    "WHERE vm_state = 'error'",
    "INSERT INTO block_device_mapping (instance_uuid, source_type, destination_type, volume_id, "
    "delete_on_termination, boot_index, deleted) SELECT uuid, 'volume', 'volume', UUID(), 0, 0, 0 "
    "FROM instances",
    "INSERT INTO services (host, `binary`, topic, report_count, disabled, forced_down, version, "
    "last_seen_up, created_at, deleted) SELECT DISTINCT host, 'nova-compute', 'compute', 1, 0, 0, "
    "70, UTC_TIMESTAMP(), UTC_TIMESTAMP(), 0 FROM instances",
    # Of Nova's own schema.
    "CREATE INDEX i4 ON instance_system_metadata (instance_uuid)",
    "CREATE INDEX i5 ON instance_faults (instance_uuid, deleted)",
    "CREATE INDEX i6 ON block_device_mapping (instance_uuid)",
    "CREATE INDEX i7 ON services (host, `binary`)",
    "ANALYZE TABLE instance_system_metadata, instance_faults, block_device_mapping, services",
)


class Api:
    """Nova's API in a process, with ours before it."""

    def __init__(self, form: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", str(ROOT / "tests/cells/oracle_detail.py")),
                *(form.format("nova_api"), form.format("nova_cell0")),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.id = self._process.pid

    def say(self, **question: Any) -> Any:
        """Ask, and give the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def list(
        self,
        which: str,
        version: str,
        limit: int = LIMIT,
        validation: str = "ignore",
        *,
        fresh: bool = False,
    ) -> Any:
        """Return seconds, CPU seconds, status, servers and a digest of the answer."""
        query = f"all_tenants=1&sort_key=created_at&sort_dir=desc&limit={limit}"
        return self.say(
            do="ask",
            which=which,
            path=f"/servers/detail?{query}",
            version=version,
            who=WHO,
            many=True,
            validation=validation,
            max_limit=limit,
            budget=BUDGET_S,
            fresh=fresh,
        )

    def answers_within(self, seconds: float) -> bool:
        """Tell whether Nova's own answers by then."""
        done = threading.Event()

        def read() -> None:
            with contextlib.suppress(json.JSONDecodeError):  # it was ended before it did
                self.list("nova", "2.1")
                done.set()

        threading.Thread(target=read, daemon=True).start()
        return done.wait(seconds)

    def read_peak_mib(self) -> float:
        """Return the most memory that the process had."""
        text = Path(f"/proc/{self.id}/status").read_text()
        line = next(one for one in text.splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def fill_all(form: str, each: int) -> None:
    """Fill databases as those of a cloud."""
    for name in ("nova_api", "nova_cell0"):
        run(form.format("mysql"), f"CREATE DATABASE IF NOT EXISTS {name}")
    api = Api(form)
    texts = api.say(do="texts")
    api.close()
    for name in ("nova_api", "nova_cell0"):
        run(form.format("mysql"), f"DROP DATABASE {name}")
    fill(form, texts["flavors"][0], each)
    for cell in range(1, CELLS + 1):
        for sql in _MORE:
            run(form.format(f"nova_cell{cell}"), sql, cell=cell)
    spec = texts["specs"][1].replace("'", "''").replace("%", "%%")
    run(
        form.format("nova_api"),
        "INSERT INTO request_specs (instance_uuid, spec) SELECT instance_uuid, "
        f"'{spec}' FROM instance_mappings",
    )
    run(form.format("nova_api"), "ANALYZE TABLE request_specs, instance_mappings")


def compare(api: Api, version: str, rounds: int) -> None:
    """Print how long both take, in turns."""
    ways = (("ours", "ignore"), ("nova", "ignore"), ("nova", "warn"))
    took: dict[tuple[str, str], list[Any]] = {one: [] for one in ways}
    for number in range(rounds + 1):
        answers = [api.list(which, version, validation=how) for which, how in ways]
        assert {one[2] for one in answers} == {200}
        assert {one[3] for one in answers} == {LIMIT}
        assert len({one[4] for one in answers}) == 1, "the answers differ"
        if number:  # the first one warms all up
            for way, answer in zip(ways, answers, strict=True):
                took[way].append(answer[:2])
    for name, at in (("wall", 0), ("CPU of the process", 1)):
        ours, plain, checked = (statistics.median(one[at] for one in took[way]) for way in ways)
        print(
            f"{version}, {name}: ours {ours:.3f} s; Nova's {plain:.3f} s, "
            f"ratio {plain / ours:.1f}; validated as by default {checked:.3f} s, "
            f"ratio {checked / ours:.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=EACH, help="servers of a cell")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    say_machine("begin")
    with tempfile.TemporaryDirectory() as folder, open_mariadb(Path(folder)) as form:
        fill_all(form, options.each)
        api = Api(form)
        for version in ("2.100", "2.1"):
            compare(api, version, options.rounds)
        api.close()
        api = Api(form)
        peaks = []
        for _ in range(2):
            for _ in range(10):
                api.list("ours", "2.100")
            peaks.append(api.read_peak_mib())
        print(f"memory after 10 and 20 lists: {peaks[0]:.0f} and {peaks[1]:.0f} MiB at most")
        api.close()
        with socket.create_server(("127.0.0.1", 0), backlog=64) as hole:
            url = f"mysql+pymysql://nova@127.0.0.1:{hole.getsockname()[1]}/nova"
            sql = f"UPDATE cell_mappings SET database_connection = '{url}' WHERE id = 6"
            run(form.format("nova_api"), sql)
            api = Api(form)
            api.list("ours", "2.100")  # what a process loads the first time
            # `fresh`: nothing is known yet of the cell that hangs.
            took = [api.list("ours", "2.100", fresh=True)[0] for _ in range(options.rounds)]
            again = [api.list("ours", "2.100")[0] for _ in range(options.rounds)]
            print(
                f"one cell hung, budget {BUDGET_S:g} s: {min(took):.2f} to {max(took):.2f} s; "
                f"lists after it {min(again):.2f} to {max(again):.2f} s"
            )
            answers = api.answers_within(HUNG_S)
            print(f"Nova's {'answers' if answers else 'does not answer'} in {HUNG_S:g} s")
            api.close()
    print(
        f"RSS of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )
    say_machine("end")


if __name__ == "__main__":
    main()
