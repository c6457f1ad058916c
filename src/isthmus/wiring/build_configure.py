"""From machines that run to sites: what `isthmus build configure` calls."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from isthmus import errors
from isthmus.build.configure.inventory import make_inventory, render_inventory
from isthmus.build.configure.settings import Strategy, Tuning, choose_forks, render_settings
from isthmus.clients.build.ansible import Played, TaskEnd, run_playbook
from isthmus.model.rack.build import Stage
from isthmus.wiring.build import load_fleet, read_standings, resolve_machines

#: The build's folder for Ansible, within its state.
FOLDER = "ansible"


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
    loaded = load_fleet(fleet)
    standings = read_standings(state)
    ready = {name for name, one in standings.items() if one.stage is Stage.ACTIVE}
    machines = resolve_machines(loaded.fleet, standings)
    inventory = make_inventory(loaded.fleet, machines, ready)
    count = len(inventory["all"]["hosts"])
    if not count:
        raise errors.NotFound(f"no machine of {fleet} is active yet: isthmus build run first")
    folder = (state / FOLDER).resolve()
    for name in ("inventory", "facts", "cp"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "inventory/hosts.yaml").write_text(render_inventory(inventory))
    tuning = Tuning(
        forks=forks or choose_forks(count, os.cpu_count() or 1), strategy=Strategy(strategy)
    )
    (folder / "ansible.cfg").write_text(render_settings(tuning, folder))
    return folder, count


def configure(
    folder: Path,
    playbook: Path,
    *,
    say: Callable[[TaskEnd], None],
    stop: threading.Event,
    variables: Mapping[str, Any] | None = None,
) -> Played:
    """Run a playbook over what `write_ansible` wrote.

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
