"""Power control of any kind, with passwords out of a file that only we read."""

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import yaml

from isthmus import errors
from isthmus.clients.build import ipmi
from isthmus.model.rack.fleet import BmcKind
from isthmus.model.rack.machine import Machine


def read_secrets(path: Path | None) -> dict[str, str]:
    """Read a file of secrets: name to value, YAML or JSON.

    Raises:
        NotFound: it is not there.
        Invalid: it is none, or others may read it.
    """
    if path is None:
        return {}
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except FileNotFoundError as exc:
        raise errors.NotFound(f"there is no file {path}") from exc
    except OSError as exc:
        raise errors.Invalid(f"{path} cannot be read: {exc.strerror}") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise errors.Invalid(f"others may read {path}: chmod 600 {path}")
    if text.startswith("$ANSIBLE_VAULT;"):
        text = _open_vault(path)
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as exc:
        # The message of a parser quotes the line.
        raise errors.Invalid(f"{path} is neither YAML nor JSON") from exc
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise errors.Invalid(f"{path} is no mapping of names to texts (quote numbers)")
    return {str(name): str(value) for name, value in found.items()}


def _open_vault(path: Path) -> str:
    """Decrypt by ansible-vault; ANSIBLE_VAULT_PASSWORD_FILE says with what."""
    from isthmus.clients.machine import shell

    return shell.run(["ansible-vault", "view", path], timeout_s=60).stdout


class PowerControl:
    """Gives each machine's order to the client of its kind of controller."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Bind the passwords of controllers, by their names in the fleet file."""
        self._secrets = secrets

    def boot_from_network(self, machine: Machine) -> None:
        """Boot a machine from the network once, whatever it does now.

        Raises:
            NotFound: the secrets have no password of its controller's.
            IsthmusError: what its controller's client raises.
        """
        bmc = machine.bmc
        if bmc.kind is BmcKind.MANUAL:
            return
        if bmc.secret and bmc.secret not in self._secrets:
            raise errors.NotFound(f"the secrets file has no {bmc.secret}")
        password = self._secrets.get(bmc.secret, "")
        if bmc.kind is BmcKind.IPMI:
            ipmi.boot_from_network(machine, password)
            return
        # Costs 200 ms to import, and whoever builds by hand may do without it.
        from isthmus.clients.build import redfish

        redfish.boot_from_network(machine, password)
