"""Where Horizon is installed: a Python environment of its own, which a lab alone reads."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from isthmus import errors

#: Names the environment; without it the one that `./dev setup dashboard` makes is taken.
VARIABLE = "ISTHMUS_HORIZON"
#: Every version that was tried together; `./dev setup dashboard` installs these.
LOCK = Path(__file__).with_name("requirements.lock")
#: What must be there: Horizon, and what serves it.
_DISTRIBUTIONS = ("horizon", "cheroot", "pymemcache", "whitenoise")


@dataclass(frozen=True, slots=True)
class Horizon:
    """An environment that Horizon is installed in."""

    environment: Path

    @property
    def python(self) -> Path:
        """Return its Python."""
        return self.environment / "bin" / "python"

    def list_distributions(self) -> list[str]:
        """List what is installed there, each as name and version."""
        found = self.environment.glob("lib/python3*/site-packages/*.dist-info")
        return sorted(folder.name.removesuffix(".dist-info") for folder in found)

    def require_there(self) -> None:
        """Check that Horizon, and what serves it, are installed there.

        Raises:
            Unsupported: something is not; the message says how to install it.
        """
        there = {one.rpartition("-")[0].lower() for one in self.list_distributions()}
        missing = [name for name in _DISTRIBUTIONS if name not in there]
        if missing:
            raise errors.Unsupported(
                f"{', '.join(missing)} not found in {self.environment}: install it with: "
                f"./dev setup dashboard (or set {VARIABLE} to a Python environment that has all "
                f"of {LOCK})"
            )


def get_horizon() -> Horizon:
    """Return the Horizon that the environment names, else the one of `./dev setup dashboard`.

    Raises:
        Unsupported: it is not installed.
    """
    beside = Path(sys.prefix).parent / ".dev" / "horizon"
    found = Horizon(Path(os.environ.get(VARIABLE) or beside))
    found.require_there()
    return found
