"""The service that answers machines: HTTP on a Unix socket, behind nginx."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cheroot import wsgi

from isthmus import errors

#: Each machine asks for about ten short answers in all; more threads than these only wait.
THREADS = 16
MOST_BODY = 65536
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 410: "Gone", 500: "Server Error"}

#: (method, path, query, body, source) -> (status, text)
Answer = Callable[[str, str, str, str, str], tuple[int, str]]


class NodeService:
    """Serves one build's machines until it is closed."""

    def __init__(self, path: Path, answer: Answer) -> None:
        """Listen on a socket.

        Raises:
            StepFailed: it cannot be made.
        """
        self._answer = answer
        path.unlink(missing_ok=True)
        self._server = wsgi.Server(str(path), self._application, numthreads=THREADS)
        try:
            self._server.prepare()
        except OSError as exc:
            raise errors.StepFailed(f"{path} cannot be listened on: {exc}") from exc
        # nginx's workers are another user.
        path.chmod(0o666)
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()

    def _application(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        length = min(int(environ.get("CONTENT_LENGTH") or 0), MOST_BODY)
        body = environ["wsgi.input"].read(length).decode(errors="replace") if length else ""
        status, text = self._answer(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            body,
            environ.get("HTTP_X_MACHINE", ""),
        )
        data = text.encode()
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))]
        start(f"{status} {_REASONS.get(status, 'Other')}", headers)
        return [data]

    def close(self) -> None:
        """Answer what was asked, and stop."""
        self._server.stop()
        self._thread.join(timeout=10)
