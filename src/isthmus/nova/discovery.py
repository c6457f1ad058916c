"""Map the hypervisors of a new site into their cells, as soon as they have announced themselves.

Run as `isthmus-discovery --config-file NOVA_CONF DONE HOST,HOST...`, or by `python -m`. It does
what `nova-manage cell_v2 discover_hosts` does once, until each is mapped, tells of each that was
not before in a line that begins with `mapped`, and then makes the file DONE.
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

    def list_known() -> set[str]:
        return {row.host for row in objects.HostMappingList.get_all(admin)}

    before = list_known()
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        host_mapping.discover_hosts(admin)
        known = list_known()
        missing = wanted - known
        if not missing:
            sys.stdout.writelines(f"mapped {one}\n" for one in sorted(known - before))
            done.touch()
            return
        if time.monotonic() > deadline:
            raise errors.TimedOut(
                f"nova-compute of {', '.join(sorted(missing))} did not announce itself in "
                f"{TIMEOUT_S} s"
            )
        time.sleep(_POLL_S)


if __name__ == "__main__":
    run()
