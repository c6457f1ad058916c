"""The image that servers of the lab boot from: a program that is the first process of a guest.

Run by `python -m` this module writes it.
"""

import sys
from pathlib import Path

from isthmus.lab.compute import guest_init
from isthmus.lab.network import dhcp

#: What it is called in Glance.
NAME = "guest"
_MARK = "# The lab puts the configuration of the DHCP client here.\n"


def render_image() -> bytes:
    """Write the image: one file that needs nothing of ours, as a guest has nothing of ours."""
    text = Path(guest_init.__file__).read_text()
    assert text.count(_MARK) == 1
    own = f"DHCP_CONF = {dhcp.CONF!r}\nDHCP_SCRIPT = {dhcp.SCRIPT!r}\n"
    return f"#!/usr/bin/env python3\n{text.replace(_MARK, own)}".encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(render_image())
