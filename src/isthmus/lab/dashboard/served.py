"""Runs Horizon: the server of a lab's dashboard, or a command of Django's.

`python -P served.py SETTINGS serve ADDRESS PORT` serves it; `python -P served.py SETTINGS manage
COMMAND ...` is Horizon's `manage.py`. SETTINGS is a file of its local settings, wherever that is.
The Python is that of Horizon's own environment, which has none of our packages: the server is
loaded from its file.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from typing_extensions import override

_SERVE = Path(__file__).parents[1] / "process" / "serve.py"
#: As which modules Horizon imports its local settings.
_NAMES = ("local.local_settings", "openstack_dashboard.local.local_settings")

#: The WSGI application, once it is loaded.
application: Any = None


class LocalSettings(importlib.abc.MetaPathFinder):
    """Finds Horizon's local settings in a file that is not in its package."""

    def __init__(self, file: Path) -> None:
        """Bind it."""
        self._file = file

    @override
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the settings; everything else is found by others."""
        if fullname not in _NAMES:
            return None
        return importlib.util.spec_from_file_location(fullname, self._file)


def manage(words: Sequence[str]) -> None:
    """Run a command of Django's."""
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *words])


def serve(address: str, port: int) -> None:
    """Serve Horizon, and the files that never change, until SIGTERM."""
    global application  # noqa: PLW0603  (the server loads its application by name)
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from whitenoise import WhiteNoise

    application = WhiteNoise(
        get_wsgi_application(), root=settings.STATIC_ROOT, prefix=settings.STATIC_URL
    )
    _load_server().serve(f"{__name__}:application", address, port)


def _load_server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve", _SERVE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(words: Sequence[str]) -> None:
    """Run as a command."""
    file, what, *more = words
    sys.meta_path.insert(0, LocalSettings(Path(file)))
    os.environ["DJANGO_SETTINGS_MODULE"] = "openstack_dashboard.settings"
    if what == "manage":
        manage(more)
    else:
        serve(more[0], int(more[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
