"""Files that a person names on the command line."""

import sys
from pathlib import Path

from isthmus import errors

#: What people write for the standard input.
STDIN = Path("-")


def read_text(path: Path) -> str:
    """Read a file that a person named; `-` is the standard input.

    Raises:
        NotFound: it is not there.
        Invalid: it cannot be read as text.
    """
    try:
        return sys.stdin.read() if path == STDIN else path.read_text()
    except FileNotFoundError as exc:
        raise errors.NotFound(f"there is no file {path}") from exc
    except IsADirectoryError as exc:
        raise errors.Invalid(f"{path} is a folder, and a file is wanted") from exc
    except OSError as exc:
        raise errors.Invalid(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise errors.Invalid(f"{path} cannot be read as text: {exc}") from exc
