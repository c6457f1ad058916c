"""A cloud whose Keystone is a fake and whose Neutrons are real, for clients that log in."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from tests.acceptance.inside import run_inside
from tests.neutron.server import ADMIN, CARRIER, READER, Reply, User, carrier
from typing_extensions import override

from isthmus.testing.cloud import Cloud

USERS = {user.name: user for user in (ADMIN, CARRIER, READER, carrier("site1"))}


class Front(Cloud):
    """Passes calls on to the Neutron of the region, as the user whose token came with them."""

    def __init__(self, **regions: Callable[..., Reply]) -> None:
        super().__init__(*(name for name in regions if name != "central"))
        self._regions = regions

    @override
    def answer(self, method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        region, _, rest = target.lstrip("/").partition("/")
        if region not in self._regions or not rest.startswith("v2.0/"):
            return super().answer(method, target, body, caller)
        user: User = USERS[caller]
        reply = self._regions[region](method, f"/{rest}", body, user)
        return reply.status, reply.body

    def write_clouds(self, folder: Path) -> dict[str, str]:
        """Write a clouds.yaml; gives the environment of a person who has it."""
        clouds = {
            name: {
                "auth": {
                    "auth_url": f"{self.url}/v3",
                    "username": user,
                    "password": "x",
                    "project_name": "admin",
                    "user_domain_id": "default",
                    "project_domain_id": "default",
                },
                "region_name": "central",
            }
            for name, user in (("central", ADMIN.name), ("watcher", READER.name))
        }
        path = folder / "clouds.yaml"
        path.write_text(yaml.safe_dump({"clouds": clouds}))
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "OS_CLIENT_CONFIG_FILE": str(path),
        }


def isthmus(
    environment: dict[str, str], *arguments: str, code: int | None = 0, says: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would; it ends with the code, where that is not None.

    In this process: `tests/acceptance` and `tests/lab` run the commands in some of their own.
    """
    ran = run_inside(environment, arguments)
    assert code in {None, ran.returncode}, (ran.stdout, ran.stderr)
    assert re.search(says, ran.stderr), ran.stderr
    return ran
