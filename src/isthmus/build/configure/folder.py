"""Ansible's files in the state folder of a build: inventory, settings, folders for facts."""

from collections.abc import Mapping
from pathlib import Path

from isthmus import errors
from isthmus.build.configure.inventory import make_inventory, render_inventory
from isthmus.build.configure.settings import Strategy, Tuning, choose_forks, render_settings
from isthmus.build.fleet.load import Loaded
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.model.rack.build import Stage, Standing

#: The build's folder for Ansible, within its state.
FOLDER = "ansible"


def write_ansible(
    loaded: Loaded,
    standings: Mapping[str, Standing],
    state: Path,
    *,
    cores: int,
    forks: int | None = None,
    strategy: str = Strategy.LINEAR,
) -> tuple[Path, int]:
    """Write inventory and settings for the machines that are active.

    Args:
        loaded: the fleet file.
        standings: where every machine stands.
        state: the build's state folder.
        cores: of this machine.
        forks: hosts at a time; None: by hosts and cores.
        strategy: how hosts go through a play.

    Returns:
        The folder, and how many hosts are in it.

    Raises:
        NotFound: no machine is active yet.
    """
    ready = {name for name, one in standings.items() if one.stage is Stage.ACTIVE}
    machines = resolve_machines(loaded.fleet, standings)
    inventory = make_inventory(loaded.fleet, machines, ready)
    count = len(inventory["all"]["hosts"])
    if not count:
        raise errors.NotFound(f"no machine of {loaded.path} is active yet: isthmus build run first")
    folder = (state / FOLDER).resolve()
    for name in ("inventory", "facts", "cp"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "inventory/hosts.yaml").write_text(render_inventory(inventory))
    tuning = Tuning(forks=forks or choose_forks(count, cores), strategy=Strategy(strategy))
    (folder / "ansible.cfg").write_text(render_settings(tuning, folder))
    return folder, count
