"""A proxy of an OVN database that loses the connection over transactions larger than it can take.

It stands for a server that is at work on a transaction for longer than its clients wait: their
probes go unanswered, the connection is made anew, and the transaction is lost.
"""

import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Self


class OvertaxedProxy:
    """Relays to a database's socket."""

    def __init__(self, path: Path, behind: Path) -> None:
        self.remote = f"unix:{path}"
        self.most_bytes = 10**9  #: of a transaction that gets through
        self.lost = 0  #: transactions that did not
        self._behind = behind
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._behind))
            self._open += [client, server]
            for work in (self._carry_questions, self._carry_answers):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _carry_answers(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        shut(client, server)

    def _carry_questions(self, client: socket.socket, server: socket.socket) -> None:
        text, decoder = "", json.JSONDecoder()
        try:
            while data := client.recv(65536):
                text += data.decode()
                while text:
                    try:
                        question, end = decoder.raw_decode(text)
                    except ValueError:
                        break  # the rest of it is still to come
                    if question.get("method") == "transact" and end > self.most_bytes:
                        self.lost += 1
                        shut(client, server)
                        return
                    server.sendall(text[:end].encode())
                    text = text[end:]
        except OSError:
            pass
        shut(client, server)


def shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
