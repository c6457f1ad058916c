"""A RabbitMQ of the tests' own, with its management API."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.clients.compute.rabbitmq import RabbitManagement
from isthmus.errors import IsthmusError
from isthmus.testing.needed import lack
from isthmus.testing.port import find_port
from isthmus.testing.until import until

#: Debian's; the one on the path becomes another user first.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Rabbit:
    """One that runs, with its administrator `guest`."""

    def __init__(self, folder: Path) -> None:
        self.port, self.management_port = find_port(), find_port()
        self.management = f"http://guest:guest@127.0.0.1:{self.management_port}"
        self.queue = f"127.0.0.1:{self.port}"
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            "log.console = true\nlog.file = false\n"
        )
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        self._env = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"t{os.getpid()}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(find_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(find_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 1:1",
        }
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [SERVER], env=self._env, stdout=self._log, stderr=self._log, start_new_session=True
        )
        until(self._answers, timeout_s=120, what=f"{folder / 'log'}")

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            RabbitManagement(self.management, 5.0).get("overview")
        except (IsthmusError, OSError):
            assert self._process.poll() is None
            return False
        return True

    def close(self) -> None:
        """End it, and the port mapper that it brought along."""
        self._process.terminate()
        self._process.wait(60)
        subprocess.run(
            ["epmd", "-kill"], env=self._env, check=False, capture_output=True, timeout=30
        )
        self._log.close()


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """Run a RabbitMQ."""
    if not SERVER.exists():
        lack("rabbitmq-server")
    made = Rabbit(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield made
    finally:
        made.close()
