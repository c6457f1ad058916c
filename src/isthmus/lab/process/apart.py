"""Named network namespaces that only one process, and those that it starts, have.

Neutron's metadata agent names its namespaces by networks. The hypervisors of a lab are on one
machine, where a name is there once: two agents that serve one network would share a namespace.
"""

import ctypes
import os

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_NAMES = "/run/netns"


def have_own_namespaces() -> None:
    """Have a place of this process's own for the names of network namespaces.

    Raises:
        OSError: this process may not.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _insist(libc.unshare(_CLONE_NEWNS), "unshare")
    _insist(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "/")
    _insist(libc.mount(b"netns", _NAMES.encode(), b"tmpfs", 0, b"mode=755"), _NAMES)


def _insist(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
