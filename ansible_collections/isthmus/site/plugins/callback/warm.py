"""What each task's process would load by itself is loaded once, before there is any."""

from __future__ import annotations

DOCUMENTATION = """
name: warm
author: The Isthmus developers (!UNKNOWN)
type: aggregate
short_description: Loads once what each task's process would load
description:
  - Ansible has a process for each task of each host, which loads the connection, and what goes with it,
    by itself. Loaded before the first of them begins, it is there in all.
version_added: 0.1.0
requirements:
  - C(callbacks_enabled) names it
"""

import importlib

from ansible.playbook.play_context import PlayContext
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import action_loader, connection_loader, shell_loader

#: What processes of tasks import beside plugins.
_MODULES = ("ansible.executor.module_common", "ansible.executor.task_executor")
_ACTIONS = ("normal", "command", "copy", "template", "include_tasks", "set_fact", "assert")


class CallbackModule(CallbackBase):
    """Does it when the playbook begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "isthmus.site.warm"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook) -> None:
        """Load it."""
        for name in _MODULES:
            importlib.import_module(name)
        connection = connection_loader.get("isthmus.site.kept", PlayContext())
        if connection is not None:
            connection.set_options()
        shell_loader.get("sh")
        for name in _ACTIONS:
            action_loader.get(f"ansible.builtin.{name}", class_only=True)
