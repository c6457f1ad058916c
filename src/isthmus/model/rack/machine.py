"""A machine to be built: a node of the fleet file with everything that holds for it."""

from dataclasses import dataclass

from isthmus.model.rack.fleet import Bmc, Disks, Firmware, Image, Install, Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One node, after defaults and addresses were filled in."""

    name: str
    site: str
    rack: str
    mac: str  #: lower case
    address: str  #: on the provisioning network
    network: Network  #: the provisioning network
    addresses: tuple[tuple[str, str], ...] = ()  #: (network, address), in the file's order
    roles: tuple[str, ...]
    bmc: Bmc
    disks: Disks
    image: Image
    install: Install
    firmware: Firmware
    is_controller: bool = False
