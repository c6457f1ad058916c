"""From machines that run to sites: what `isthmus build configure` calls."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from isthmus.build.configure import folder as folders
from isthmus.build.configure.settings import Strategy
from isthmus.clients.build.ansible import Played, TaskEnd, run_playbook
from isthmus.wiring.build import load_fleet, read_standings


def write_ansible(
    fleet: Path, state: Path, *, forks: int | None = None, strategy: str = Strategy.LINEAR
) -> tuple[Path, int]:
    """Write inventory and settings for the machines that are active.

    Args:
        fleet: the fleet file.
        state: the build's state folder.
        forks: hosts at a time; None: by hosts and cores.
        strategy: how hosts go through a play.

    Returns:
        The folder, and how many hosts are in it.

    Raises:
        NotFound: no machine is active yet.
    """
    return folders.write_ansible(
        load_fleet(fleet),
        read_standings(state),
        state,
        cores=os.cpu_count() or 1,
        forks=forks,
        strategy=strategy,
    )


def configure(
    folder: Path,
    playbook: Path,
    *,
    say: Callable[[TaskEnd], None],
    stop: threading.Event,
    variables: Mapping[str, Any] | None = None,
) -> Played:
    """Run a playbook over what `write_ansible` wrote.

    Args:
        folder: which it returned.
        playbook: what to run.
        say: called with the end of each task on each host.
        stop: set to stop Ansible.
        variables: extra variables of the playbook.

    Raises:
        Unsupported: ansible-runner is not installed.
        NotFound: there is no such playbook.
    """
    return run_playbook(
        playbook,
        folder,
        settings=folder / "ansible.cfg",
        say=say,
        stop=stop,
        variables=variables,
    )
