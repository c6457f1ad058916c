"""The options of Ansible's own SSH connection, which `isthmus.site.kept` has as they are."""

from __future__ import annotations

import textwrap

from ansible.plugins.connection.ssh import DOCUMENTATION as SSH

_FROM = "options:\n"


class ModuleDocFragment:
    """What Ansible asks for fragments of documentation."""

    # As text: each task has a process that reads it, and reading YAML twice takes long.
    DOCUMENTATION = _FROM + textwrap.dedent(SSH).partition(f"\n{_FROM}")[2]
