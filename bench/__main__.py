"""Run one measurement by its name: `python -m bench NAME [OPTIONS]`."""

import importlib
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent


def list_names() -> list[str]:
    """Name the measurements: every module here that has a `main`."""
    return sorted(
        file.stem for file in _FOLDER.glob("[a-z]*.py") if "\ndef main(" in file.read_text()
    )


def main() -> int:
    names = list_names()
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(f"usage: python -m bench NAME [OPTIONS]; NAME is one of: {', '.join(names)}")
        return 2
    name = sys.argv.pop(1)
    sys.argv[0] = f"bench {name}"
    return int(importlib.import_module(f"bench.{name}").main() or 0)


if __name__ == "__main__":
    sys.exit(main())
