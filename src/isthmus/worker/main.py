"""`isthmus-xjob`: carries central's intents to the sites.

SIGTERM and SIGINT let every lane finish the batch in hand; SIGHUP reads the configuration again.
"""

import argparse
import logging
import signal
import sys
from pathlib import Path

from isthmus import errors
from isthmus.config.xjob import open_xjob, read_xjob
from isthmus.journal import worker_id
from isthmus.wiring.xjob import Xjob
from isthmus.worker.interruption import Interruption
from isthmus.worker.supervisor import Supervisor

LOG = logging.getLogger(__name__)


class Signals:
    """The signals that the process has received."""

    def __init__(self) -> None:
        """Start with none; `listen` installs the handlers."""
        self.interrupted = Interruption()
        self.ended = False

    def listen(self) -> None:
        """Install the signal handlers; only the main thread may call this."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self._reload)

    def _end(self, *_: object) -> None:
        self.ended = True
        self.interrupted.set()

    def _reload(self, *_: object) -> None:
        self.interrupted.set()


def open_work(config_files: list[Path]) -> Xjob:
    """Read the configuration and open what it names.

    Raises:
        Invalid: it makes no sense.
    """
    conf = open_xjob(config_files)
    return Xjob(conf, read_xjob(conf), owner=worker_id.new())


def serve(config_files: list[Path], signals: Signals) -> None:
    """Work until told to end.

    Raises:
        Invalid: the configuration makes no sense at the start; later it is logged, and the old one
            stays in force.
    """
    work = open_work(config_files)
    while True:
        LOG.info("xjob begins batch=%d", work.settings.batch)
        Supervisor(work).run(signals.interrupted)
        # Before it is looked why: a signal that comes behind this ends the next turn at once.
        signals.interrupted.clear()
        if signals.ended:
            work.close()
            LOG.info("xjob ends")
            return
        try:
            renewed = open_work(config_files)
        except errors.Invalid as error:
            LOG.error("reload: %s; the old configuration stays in force", error)  # noqa: TRY400
            continue
        work.close()
        work = renewed


def run(arguments: list[str] | None = None) -> None:
    """Run as a process."""
    parser = argparse.ArgumentParser(prog="isthmus-xjob", description=__doc__)
    parser.add_argument(
        "--config-file",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="oslo.config file with [database] and [isthmus_xjob]; may be given several times",
    )
    parser.add_argument("--log-level", default="INFO", metavar="LEVEL", help="default: INFO")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    # Each call of each session would log lines of its own.
    for noisy in ("keystoneauth", "urllib3", "stevedore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    signals = Signals()
    signals.listen()
    try:
        serve(options.config_file, signals)
    except errors.IsthmusError as error:
        parser.exit(errors.consequence(error).exit_code, f"isthmus-xjob: {error}\n")
