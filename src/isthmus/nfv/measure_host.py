"""Measure the data path of a live host, with or without a generator."""

import dataclasses
import time

from isthmus import errors
from isthmus.facts.protocols import HostClient
from isthmus.nfv import measure

#: Open vSwitch writes its counters down every five seconds, unless it is told otherwise.
RECORDS_TIMEOUT_S = 15.0
POLL_S = 3.0


def measure_host(
    client: HostClient,
    *,
    seconds: int,
    generator: HostClient | None = None,
    address: str = "",
    port: int = 5201,
) -> measure.Measurement:
    """Read a host's data path twice, with a generator running in between where one is given.

    Args:
        client: the host whose switch is read.
        seconds: between the readings.
        generator: where iperf3 runs; None: what passes anyway is measured.
        address: of the iperf3 server behind the data path.
        port: of that server.

    Raises:
        Unreachable: a host does not answer.
        StepFailed: the switch or the generator does not run.
    """
    before = measure.parse_reading(_read_counters(client))
    generated = None
    if generator is None:
        time.sleep(seconds)
    else:
        text = measure.render_generator(address, seconds=seconds, port=port)
        output = generator.run_script(text, timeout_s=seconds + 60)
        if output.exit_code != 0:
            said = (output.stderr.strip() or output.stdout.strip())[-300:]
            raise errors.StepFailed(f"the generator on {generator.name} failed: {said}")
        generated = measure.parse_generated(output.stdout)
    after = measure.parse_reading(_read_counters(client))
    settled = _await_records(client, after) if generator is not None else after
    result = measure.compare(before, dataclasses.replace(after, recorded=settled.recorded))
    return dataclasses.replace(result, generated=generated)


def _await_records(client: HostClient, reading: measure.Reading) -> measure.Reading:
    """Read until the switch's database has what its datapath had counted; not for ever."""
    deadline = time.monotonic() + RECORDS_TIMEOUT_S
    later = reading
    while not measure.has_caught_up(reading, later) and time.monotonic() < deadline:
        time.sleep(POLL_S)
        later = measure.parse_reading(_read_counters(client))
    return later


def _read_counters(client: HostClient) -> str:
    output = client.run_script(measure.render_reading(), timeout_s=60)
    if output.exit_code != 0:
        said = output.stderr.strip().splitlines() or ["it said nothing"]
        raise errors.StepFailed(f"Open vSwitch of {client.name} gives no counters: {said[-1]}")
    return output.stdout
