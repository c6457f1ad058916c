"""From machines that run to sites: what `isthmus build configure` calls."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from isthmus.build.configure import folder as folders
from isthmus.build.configure.package import find_collections
from isthmus.build.configure.settings import Places, Strategy
from isthmus.clients.build import ansible, vault
from isthmus.clients.build.ansible import Played, TaskEnd, run_playbook
from isthmus.wiring.build import load_fleet, read_standings

_PASSWORDS = "inventory/group_vars/all/passwords.yaml"


def alone(state: Path) -> AbstractContextManager[None]:
    """Keep others from running Ansible over a build meanwhile; NotFound where there is none."""
    return ansible.alone(state, folders.FOLDER)


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
    key = vault.choose_key((state / folders.FOLDER).resolve())
    return folders.write_ansible(
        load_fleet(fleet),
        read_standings(state),
        state,
        cores=os.cpu_count() or 1,
        forks=forks,
        strategy=strategy,
        places=Places(collections=find_collections(), vault=key if key.exists() else None),
    )


def make_secrets(fleet: Path, state: Path) -> bool:
    """Have all passwords that the services of a fleet need; return whether any was made.

    Raises:
        Invalid: the fleet file does not place what sites need.
        NotFound: the key is gone, or was named and is not there.
        StepFailed: they were encrypted with another key.
    """
    names = folders.list_passwords(load_fleet(fleet).fleet, read_standings(state))
    folder = (state / folders.FOLDER).resolve()
    file = folder / _PASSWORDS
    return vault.ensure_passwords(file, names, vault.ensure_key(folder, file))


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
