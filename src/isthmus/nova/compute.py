"""nova-compute with our virt driver.

Nova loads a driver from below `nova.virt` and from nowhere else. So `isthmus.nova.driver` is made
known under the name `nova.virt.isthmus` before Nova's own program begins; nothing is written into
Nova's folder, and `compute_driver = isthmus.NamespaceDriver` is all that its configuration says.
"""

import sys

#: What Nova's loader finds the driver under.
LOADED_AS = "nova.virt.isthmus"


def register() -> None:
    """Let Nova find our driver; idempotent."""
    from isthmus.nova import driver

    sys.modules[LOADED_AS] = driver


def run() -> None:
    """Run nova-compute."""
    from nova.cmd import compute

    register()
    compute.main()


if __name__ == "__main__":
    run()
