"""The WAN between the places of a lab: cut a site off, put it back, make it slow.

A cut is a rule in the WAN's namespace that drops what would be forwarded from or to the site's
subnet: control and data alike, and nothing inside the site. A delay sends the same packets through
a device whose other end is a relay in user space, which holds each for a while; with no delay asked
for, the kernel forwards by itself and the relay is not there.
"""

import signal
import sys

from isthmus import errors
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.process.program import Program
from isthmus.lab.process.start import start
from isthmus.lab.protocols import Tools
from isthmus.lab.tier.maker import MARKER
from isthmus.model.topology import Tier

RELAY = "wan.relay"
DEVICE = "delay"
#: Routing table and rule priorities in the WAN's namespace, which has no others.
_TABLE = 100
_PRIORITY_BACK = 10
_PRIORITY_OUT = 20


class Wan:
    """The WAN links of one lab."""

    def __init__(self, plan: LabPlan, tools: Tools, ledger: Ledger) -> None:
        """Bind them."""
        self._plan = plan
        self._tools = tools
        self._ledger = ledger

    def list_links(self) -> list[dict[str, object]]:
        """List the state of each site's link."""
        links = self._ledger.read().links
        return [
            {
                "site": tier.name,
                "state": "cut" if links.get(tier.name, {}).get("cut") else "up",
                "rtt_ms": links.get(tier.name, {}).get("rtt_ms", 0.0),
            }
            for tier in self._plan.sites
        ]

    def cut(self, tier: Tier) -> None:
        """Cut a site off."""
        self._record(tier, cut=True)
        self._apply_cuts()

    def restore(self, tier: Tier) -> None:
        """Restore a site's link: neither cut nor slow."""
        self._record(tier, cut=False, rtt_ms=0.0)
        self._apply_cuts()
        self._apply_delays()

    def delay(self, tier: Tier, rtt_ms: float) -> None:
        """Add a round trip to a site's link; 0 takes it away.

        Raises:
            Invalid: less than nothing, or more than a minute.
        """
        if not 0 <= rtt_ms <= 60_000:
            raise errors.Invalid(f"a round trip of {rtt_ms:g} ms: choose between 0 and 60000")
        self._record(tier, rtt_ms=rtt_ms)
        self._apply_delays()

    def _record(self, tier: Tier, **changes: object) -> None:
        row = {"cut": False, "rtt_ms": 0.0, **self._ledger.read().links.get(tier.name, {})}
        row.pop("kind", None)
        self._ledger.add("link", **{**row, "site": tier.name, **changes})

    def _apply_cuts(self) -> None:
        links = self._ledger.read().links
        cut = [tier for tier in self._plan.sites if links.get(tier.name, {}).get("cut")]
        self._tools.run(["nft", "-f", "-"], netns=self._plan.wan_netns, stdin=render_cuts(cut))

    def _apply_delays(self) -> None:
        links = self._ledger.read().links
        delays = {
            tier: float(links[tier.name]["rtt_ms"])
            for tier in self._plan.sites
            if links.get(tier.name, {}).get("rtt_ms")
        }
        self._stop_relay()
        run, netns = self._tools.run, self._plan.wan_netns
        run(["ip", "rule", "flush"], netns=netns)
        if delays:
            self._start_relay(delays)
        run(["ip", "-batch", "-"], netns=netns, stdin="\n".join(render_rules(list(delays))))

    def _stop_relay(self) -> None:
        running = self._ledger.read().programs.get(RELAY)
        if running is not None:
            self._tools.processes.send(running.process, signal.SIGKILL)
            self._ledger.add("process-gone", name=RELAY)

    def _start_relay(self, delays: dict[Tier, float]) -> None:
        words = [f"{tier.subnet}={rtt / 2:g}" for tier, rtt in delays.items()]
        sock = self._plan.folder / "relay.up"
        start(
            Program(
                name=RELAY,
                netns=self._plan.wan_netns,
                log=self._plan.log_dir / f"{RELAY}.log",
                argv=(sys.executable, "-m", "isthmus.lab.network.relay", DEVICE, str(sock), *words),
                socket=str(sock),
                env={MARKER: str(self._plan.folder)},
            ),
            self._tools,
            self._ledger,
        )
        lines = [f"link set {DEVICE} up", f"route replace default dev {DEVICE} table {_TABLE}"]
        self._tools.run(["ip", "-batch", "-"], netns=self._plan.wan_netns, stdin="\n".join(lines))


def render_cuts(cut: list[Tier]) -> str:
    """Write the `nft` script that drops what is forwarded from and to these sites."""
    lines = ["table ip isthmus", "delete table ip isthmus", "table ip isthmus {"]
    lines += ["  chain forward {", "    type filter hook forward priority 0; policy accept;"]
    for tier in cut:
        # Some kernels show this chain what a bridge forwards too: a site's own packets must pass.
        lines.append(f"    ip saddr {tier.subnet} ip daddr != {tier.subnet} drop")
        lines.append(f"    ip daddr {tier.subnet} ip saddr != {tier.subnet} drop")
    return "\n".join([*lines, "  }", "}", ""])


def render_rules(slow: list[Tier]) -> list[str]:
    """Write the `ip -batch` lines that send the packets of slow sites to the relay.

    What comes back from the relay is routed as usual. The rules start from none at all.
    """
    lines = ["rule add priority 32766 lookup main"]
    if slow:
        lines.append(f"rule add priority {_PRIORITY_BACK} iif {DEVICE} lookup main")
    for tier in slow:
        lines += [
            f"rule add priority {_PRIORITY_OUT} iif {tier.bridge} lookup {_TABLE}",
            f"rule add priority {_PRIORITY_OUT} to {tier.subnet} lookup {_TABLE}",
        ]
    return lines
