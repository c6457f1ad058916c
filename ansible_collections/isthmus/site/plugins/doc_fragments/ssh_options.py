"""The options of Ansible's own SSH connection, which `isthmus.site.kept` has as they are."""

from __future__ import annotations

import re
import textwrap

from ansible.plugins.connection.ssh import DOCUMENTATION as SSH

_FROM = "options:\n"
# As text: each task has a process that reads it, and reading YAML twice takes long.
_OPTIONS = _FROM + textwrap.dedent(SSH).partition(f"\n{_FROM}")[2]
#: What Ansible asks for fragments of documentation; since when it has an option, is its own count.
ModuleDocFragment = type(
    "ModuleDocFragment",
    (),
    {"DOCUMENTATION": re.sub(r"^ *version_added: .*\n", "", _OPTIONS, flags=re.MULTILINE)},
)
