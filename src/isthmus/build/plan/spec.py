"""What a machine is to become, in one short digest: a machine whose digest changed differs."""

import hashlib
import json

from isthmus.model.rack.fleet import Install
from isthmus.model.rack.machine import Machine


def describe(machine: Machine) -> dict[str, str]:
    """Return all that is written to a machine's disk, in comparable words."""
    image = machine.image
    layout = machine.disks
    return {
        "name": machine.name,
        "address": machine.address,
        "install": machine.install.value,
        "image": image.sha256 or f"{image.tree} {image.release}",
        "disk": f"{layout.device} {layout.mirror or ''} {layout.raid}".strip(),
        # An image brings its own partitions.
        "layout": ""
        if machine.install is Install.IMAGE
        else f"{layout.root_gib}+{layout.swap_gib} GiB",
    }


def digest(machine: Machine) -> str:
    """Return the digest of `describe`."""
    text = json.dumps(describe(machine), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
