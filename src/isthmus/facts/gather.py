"""The facts of a live host, read over its client."""

from isthmus import errors
from isthmus.facts import dump, script
from isthmus.facts.host import sysfs
from isthmus.facts.protocols import HostClient
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.nfv_layout import Layout

#: A slow host under load still answers within this, in seconds.
FACTS_TIMEOUT_S = 180.0


def collect_facts(
    client: HostClient, *, settings: bool = False, layout: Layout | None = None
) -> str:
    """Gather the facts of a host as text; they hold no secret (`isthmus.facts.allow`).

    Args:
        client: the host.
        settings: how it is set up too, not only what it is made of.
        layout: where it keeps Nova and Open vSwitch; None: found.

    Raises:
        Unreachable: nobody answered.
        StepFailed: the script did not end.
    """
    text = script.render_script(settings=settings, layout=layout)
    output = client.run_script(text, timeout_s=FACTS_TIMEOUT_S)
    if output.exit_code != 0 or dump.END not in output.stdout[-200:]:
        said = output.stderr.strip().splitlines() or ["it said nothing"]
        raise errors.StepFailed(f"gathering the facts of {client.name} failed: {said[-1]}")
    return output.stdout


def inspect_host(client: HostClient) -> HostInventory:
    """Make the inventory of a live host.

    Raises:
        Unreachable: nobody answered.
        StepFailed: the facts could not be gathered.
    """
    return sysfs.parse_host(dump.parse_facts(collect_facts(client)))
