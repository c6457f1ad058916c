"""Every fact of a host, by family. A new fact goes into its family's file and is found here."""

from typing import Any

from isthmus.facts.fact import Fact
from isthmus.facts.host import (
    devlink,
    libvirt,
    oslo_conf,
    ovs,
    own_files,
    procfs,
    services,
    sysfs,
)

#: What a host is made of.
HARDWARE: tuple[Fact[Any], ...] = sysfs.FACTS
#: And how it is set up, and what it does right now.
HOST: tuple[Fact[Any], ...] = (
    *HARDWARE,
    *procfs.FACTS,
    *ovs.FACTS,
    *libvirt.FACTS,
    *oslo_conf.FACTS,
    *services.FACTS,
    *devlink.FACTS,
    *own_files.FACTS,
)
