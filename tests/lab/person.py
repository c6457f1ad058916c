"""A person at the lab: runs `isthmus` as a command and asks the clouds with the stock SDK."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack

from isthmus.lab.plan import LabPlan

COMMAND = Path(sys.executable).parent / "isthmus"


class Person:
    """Does by command and SDK what the tests ask for."""

    def __init__(self, plan: LabPlan) -> None:
        self.plan = plan
        self._clouds: dict[str, Any] = {}
        self._netns: dict[str, str] = {}  #: of the servers

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an `isthmus` command against this lab."""
        done = subprocess.run(
            [COMMAND, *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"isthmus {' '.join(words)}: {done.stderr}{done.stdout}"
        return done

    @contextlib.contextmanager
    def started(self, *words: str) -> Iterator[None]:
        """Have an `isthmus` command run until the block ends."""
        silent = subprocess.DEVNULL
        with subprocess.Popen(
            [COMMAND, *words],
            env=self.environment(),
            stdout=silent,
            stderr=silent,
            start_new_session=True,  # its own command ends with it
        ) as one:
            try:
                yield
            finally:
                os.killpg(one.pid, signal.SIGTERM)

    def environment(self) -> dict[str, str]:
        """Return what a command finds in its environment."""
        return {
            **os.environ,
            "ISTHMUS_LAB_NAME": self.plan.name,
            "OS_CLIENT_CONFIG_FILE": str(self.plan.clouds_file),
        }

    def json(self, *words: str) -> Any:
        """Run a command and read its JSON."""
        return json.loads(self.run(*words, "-o", "json").stdout)

    def network(self, cloud: str) -> Any:
        """Give the SDK's Neutron of one of the lab's clouds."""
        if cloud not in self._clouds:
            os.environ["OS_CLIENT_CONFIG_FILE"] = str(self.plan.clouds_file)
            self._clouds[cloud] = openstack.connect(cloud=cloud)
        return self._clouds[cloud].network

    def server(self, name: str, site: str, network: str, *more: str) -> dict[str, Any]:
        """Make a server and give its row."""
        words = ("create", name, "--site", site, "--network", network, *more)
        row: dict[str, Any] = self.json("lab", "server", *words)
        self._netns[name] = row["netns"]
        return row

    def ping(self, server: str, address: str, *, count: int = 3) -> bool:
        """Tell whether an address answers a server."""
        words = ("ping", "-c", str(count), "-i", "0.2", "-W", "2", address)
        # A command of ours takes as long to start as three pings; `lab exec` has tests enough.
        inside = ("ip", "netns", "exec", self._netns[server])
        return subprocess.run([*inside, *words], capture_output=True, check=False).returncode == 0

    def agree(self, within_s: int = 600) -> None:
        """Wait until the audit finds nothing."""
        done = self.run("audit", "--wait", str(within_s), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
