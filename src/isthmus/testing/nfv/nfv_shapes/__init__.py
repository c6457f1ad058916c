"""Published machines as inventories, each with the demand that its golden plan is made for.

The numbers come from the pages named at each; what a page leaves out (ports, mostly) is ours and
said. Several pages also say how they would lay the machine out: `tests/tables` compares with them.
"""

from isthmus.testing.nfv.nfv_shapes.amd import AMD
from isthmus.testing.nfv.nfv_shapes.examples import EXAMPLES
from isthmus.testing.nfv.nfv_shapes.intel import INTEL
from isthmus.testing.nfv.nfv_shapes.power_arm import POWER_ARM
from isthmus.testing.nfv.nfv_shapes.published import Published

__all__ = ["PUBLISHED", "Published", "by_name"]

PUBLISHED: tuple[Published, ...] = (*EXAMPLES, *INTEL, *AMD, *POWER_ARM)


def by_name(name: str) -> Published:
    """Find one by its inventory's name."""
    return next(one for one in PUBLISHED if one.inventory.name == name)
