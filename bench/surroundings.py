"""Routers and floating IPs around a network, at a site of ours or at a stock server."""

from bench.ground import api, await_shown, make_port
from bench.router import Side


def surround(side: Side, site: str, network: str, routers: int, floating: int) -> None:
    """Make routers with a network, a gateway and their share of floating IPs each.

    The first one joins the given network too.

    Args:
        side: the Neutron of the routers.
        site: the site (and its cloud) where the ports of the floating IPs are, and the exit.
        network: the network.
        routers: how many.
        floating: how many floating IPs, together.
    """
    side.open_external(site, [site] if side.cloud == "central" else [])
    ports = []
    for number in range(routers):
        side.router = side.make("router", name=f"around-{number}")
        own, subnet = side.network(f"around-{number}", f"10.{100 + number}.0.0/24")
        side.interface("add", subnet)
        if number == 0:
            path = f"/v2.0/subnets?network_id={network}"
            side.interface("add", api(side.lab, side.cloud).call("GET", path)["subnets"][0]["id"])
        side.set_gateway()
        share = floating // routers + (number < floating % routers)
        ports += [make_port(side.lab, site, own)["id"] for _ in range(share)]
    for port in ports:
        await_shown(side.lab, side.cloud, f"/v2.0/ports/{port}")
        side.make("floatingip", floating_network_id=side.external["id"], port_id=port)
