"""What a version of OVN can do for stretched networks.

northd publishes its version in NB_Global.options:northd_internal_version, as in
"23.03.1-20.27.0-70.6" (its own version, that of the SB schema, a counter of internal changes).
"""

import re

from isthmus.model.dataplane.ovn import Capability

#: First version whose northd fills in Port_Binding.chassis of remote ports (OVN commit 170d3e5f1).
_BINDS_REMOTE = (23, 9)
#: First version that splits the flow which floods a network (OVN commit 325c7b203).
_SPLITS_FLOOD = (24, 3)
#: Before that the flow must fit one 64 KiB OpenFlow message; measured: 680 ports do, 684 do not.
OLD_SHADOW_LIMIT = 680

_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+")


def parse_capability(northd_internal_version: str) -> Capability:
    """Return what a site's OVN can do; one that does not say counts as the oldest."""
    match = _VERSION.match(northd_internal_version)
    number = (int(match[1]), int(match[2])) if match else (0, 0)
    return Capability(
        version=match[0] if match else "",
        binds_remote=number >= _BINDS_REMOTE,
        shadow_limit=None if number >= _SPLITS_FLOOD else OLD_SHADOW_LIMIT,
    )
