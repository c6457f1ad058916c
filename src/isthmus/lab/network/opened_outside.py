"""What a person does outside the sites of a lab."""

from collections.abc import Sequence
from typing import Any

from isthmus import errors
from isthmus.lab.plan import LabPlan
from isthmus.lab.protocols import Tools
from isthmus.model.topology import Outside
from isthmus.services.render import PHYSICAL_NETWORK

ANY = "any"


class OpenOutside:
    """The outside namespaces of one lab."""

    def __init__(self, plan: LabPlan, tools: Tools) -> None:
        """Bind them."""
        self._plan = plan
        self._tools = tools

    def list_rows(self) -> list[dict[str, Any]]:
        """List the provider networks of every site, with what answers there."""
        return [
            {
                "site": str(tier.name),
                "network": network.name,
                "type": "vlan" if network.vlan else "flat",
                "physical_network": PHYSICAL_NETWORK,
                "vlan": network.vlan,
                "subnets": [str(subnet) for subnet in network.subnets],
                "gateways": [str(gateway) for gateway in network.gateways],
                "hosts": [str(host) for host in tier.outside.hosts],
                "gateway_hypervisors": list(tier.outside.gateways),
            }
            for tier in self._plan.sites
            if tier.outside is not None
            for network in tier.outside.networks
        ]

    def get(self, site: str) -> Outside:
        """Find the outside of a site.

        Raises:
            NotFound: there is no such site, or it has none.
        """
        outside = self._plan.get_site(site).outside
        if outside is None:
            raise errors.NotFound(
                f"site {site} has no outside: its topology says gateways: 0; bring the lab up "
                "with gateways: 1 for the site"
            )
        return outside

    def exec(self, site: str, command: Sequence[str]) -> int:
        """Run a command outside a site, on the person's terminal; gives its exit code.

        Raises:
            NotFound: there is no such site, or it has no outside.
        """
        return self._tools.interact(command, netns=self.get(site).netns)

    def run(self, site: str, command: Sequence[str], timeout_s: float = 60) -> tuple[int, str]:
        """Run a command outside a site; gives its exit code and what it said.

        Raises:
            NotFound: there is no such site, or it has no outside.
            TimedOut: it did not end in time.
        """
        done = self._tools.run(
            command, netns=self.get(site).netns, timeout_s=timeout_s, check=False
        )
        return done.exit_code, done.stdout + done.stderr

    def capture(self, site: str, network: str, expression: Sequence[str], *, count: int = 0) -> int:
        """Show packets on the person's terminal; gives the exit code.

        Args:
            site: whose outside.
            network: of the site's provider networks, or `any`.
            expression: as tcpdump has it.
            count: how many packets to show; 0 for no end.

        Raises:
            NotFound: no such site or network.
            Unsupported: tcpdump is not installed.
        """
        outside = self.get(site)
        known = [one.name for one in outside.networks]
        if network not in {*known, ANY}:
            raise errors.NotFound(
                f"site {site} has no provider network {network!r}; it has: {', '.join(known)}"
            )
        if self._tools.find_program("tcpdump") is None:
            raise errors.Unsupported("tcpdump not found: install it with: apt-get install tcpdump")
        words = ["tcpdump", "-nn", "-l", "-i", network, *(["-c", str(count)] if count else [])]
        return self._tools.interact([*words, *expression], netns=outside.netns)
