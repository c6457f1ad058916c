"""Ansible's files in the state folder of a build: inventory, settings, folders for facts."""

import json
from collections.abc import Mapping
from pathlib import Path

from isthmus import errors
from isthmus.build.configure.inventory import make_inventory, render_inventory
from isthmus.build.configure.settings import (
    NOWHERE,
    Places,
    Strategy,
    Tuning,
    choose_forks,
    render_settings,
)
from isthmus.build.configure.site_needs import COMPUTE_SERVICES, require_services
from isthmus.build.configure.site_variables import make_tiers, make_variables, number_sites
from isthmus.build.configure.tier_files import password_names
from isthmus.build.fleet.load import Loaded
from isthmus.build.fleet.resolve import resolve_machines
from isthmus.model.rack.build import Stage, Standing
from isthmus.model.rack.fleet import Fleet

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
    places: Places = NOWHERE,
) -> tuple[Path, int]:
    """Write inventory and settings for the machines that are active.

    Args:
        loaded: the fleet file.
        standings: where every machine stands.
        state: the build's state folder.
        cores: of this machine.
        forks: hosts at a time; None: by hosts and cores.
        strategy: how hosts go through a play.
        places: what else Ansible has to find.

    Returns:
        The folder, and how many hosts are in it.

    Raises:
        NotFound: no machine is active yet.
    """
    ready = {name for name, one in standings.items() if one.stage is Stage.ACTIVE}
    machines = resolve_machines(loaded.fleet, standings)
    folder = (state / FOLDER).resolve()
    variables = {}
    if loaded.fleet.central is not None and ready:
        running = [one for one in machines if one.name in ready]
        numbers = _ensure_numbers(loaded.fleet, folder)
        variables = make_variables(loaded.fleet, make_tiers(loaded.fleet, running, numbers))
    inventory = make_inventory(loaded.fleet, machines, ready, variables)
    count = len(inventory["all"]["hosts"])
    if not count:
        raise errors.NotFound(f"no machine of {loaded.path} is active yet: isthmus build run first")
    for name in ("inventory", "facts", "cp"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "inventory/hosts.yaml").write_text(render_inventory(inventory))
    tuning = Tuning(forks=forks or choose_forks(count, cores), strategy=Strategy(strategy))
    text = render_settings(tuning, folder, places)
    (folder / "ansible.cfg").write_text(text)
    return folder, count


def list_passwords(fleet: Fleet, standings: Mapping[str, Standing]) -> tuple[str, ...]:
    """List the passwords that a build of this fleet needs, by name.

    Raises:
        Invalid: the file does not say which site is central, or does not place what sites need.
    """
    require_services(fleet, resolve_machines(fleet, standings))
    central = str(fleet.central)
    sites = [one.name for one in fleet.sites if one.name != central]
    more = any(fleet.services.get(service) for service in COMPUTE_SERVICES)
    return password_names(sites, central, compute=more)


def _ensure_numbers(fleet: Fleet, folder: Path) -> dict[str, int]:
    """Number the sites, and keep the numbers of all that there ever were.

    Raises:
        Inconsistent: the file in which they are kept is damaged.
    """
    file = folder / "sites.json"
    try:
        known = json.loads(file.read_text()) if file.exists() else {}
        numbers = number_sites(fleet, {str(name): int(number) for name, number in known.items()})
    except (ValueError, AttributeError, TypeError) as exc:
        raise errors.Inconsistent(
            f"{file} does not hold the numbers of sites ({exc}): restore it from a copy, or give"
            " the numbers that the base_mac of each site's neutron.conf has"
        ) from exc
    if numbers.items() - known.items():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps({**known, **numbers}, indent=1, sort_keys=True))
        part.replace(file)
    return numbers
