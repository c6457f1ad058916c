"""What `[pci] alias` of nova.conf stands for.

Source:
    nova.pci.request 34.0.0: `get_alias_from_config`.
"""

import json
from collections.abc import Iterable

from isthmus import errors
from isthmus.model.compute.device import DeviceAlias, DeviceRules

_LEGACY = "legacy"


def read_devices(aliases: Iterable[str], *, in_placement: bool) -> DeviceRules:
    """Read aliases; several of one name are ways to serve it.

    Args:
        aliases: as they stand in the file, each a JSON object.
        in_placement: [filter_scheduler] pci_in_placement.

    Raises:
        Invalid: one is not as Nova reads it.
    """
    found: dict[str, DeviceAlias] = {}
    for text in aliases:
        try:
            spec = {str(key): str(value) for key, value in json.loads(text).items()}
            name = spec.pop("name").strip()
        except (ValueError, AttributeError, KeyError):
            raise errors.Invalid(f"[pci] alias is not as Nova reads it: {text}") from None
        policy = spec.pop("numa_policy", "") or _LEGACY
        if kind := spec.pop("device_type", ""):
            spec["dev_type"] = kind
        if moves := spec.pop("live_migratable", ""):
            is_true = moves.lower() in {"1", "t", "true", "on", "y", "yes"}
            spec["live_migratable"] = "true" if is_true else "false"
        known = found.get(name)
        specs = (*known.specs, spec) if known else (spec,)
        found[name] = DeviceAlias(name, known.policy if known else policy, specs)
    return DeviceRules(found, in_placement)
