"""Map the hypervisors of a new site into their cells, as soon as they have announced themselves.

Run as `isthmus-discovery --config-file NOVA_CONF DONE HOST,HOST...`. It does what `nova-manage
cell_v2 discover_hosts` does once, until each is mapped, and then makes the file DONE.
"""

import sys
import time
from pathlib import Path

from isthmus import errors

#: Longest wait for a nova-compute to announce itself, in seconds, on a busy machine.
TIMEOUT_S = 240
_POLL_S = 0.2


def run() -> None:
    """Run as a command.

    Raises:
        TimedOut: some did not announce themselves.
    """
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")  # before anything else of Nova's, as its programs do
    from nova import config, context, objects
    from nova.objects import host_mapping

    wanted = set(sys.argv.pop().split(","))
    done = Path(sys.argv.pop())
    config.parse_args(sys.argv)
    objects.register_all()
    admin = context.get_admin_context()
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        host_mapping.discover_hosts(admin)
        known = {row.host for row in objects.HostMappingList.get_all(admin)}
        missing = wanted - known
        if not missing:
            done.touch()
            return
        if time.monotonic() > deadline:
            raise errors.TimedOut(
                f"nova-compute of {', '.join(sorted(missing))} did not announce itself in "
                f"{TIMEOUT_S} s"
            )
        time.sleep(_POLL_S)
