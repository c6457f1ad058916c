"""What machines ask over HTTP, and what they are answered.

/api/boot?mac=M answers with the iPXE script for the machine's stage; /api/orders/TOKEN and
/api/seed/TOKEN/FILE with what its ramdisk or installer needs; /api/report/TOKEN/KIND takes a
report.
A token belongs to one attempt of one machine, so a straggler of an earlier attempt is not heard.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from isthmus.build.boot import ipxe, orders
from isthmus.build.boot.attempt import Attempt
from isthmus.build.boot.place import Place
from isthmus.build.run.builder import Builder
from isthmus.model.rack.build import Happening, Stage
from isthmus.model.rack.machine import Machine

#: Reports that a machine may make itself.
REPORTS = {
    "inspected": Happening.INSPECTED,
    "writing": Happening.WRITING,
    "written": Happening.WRITTEN,
    "reported": Happening.REPORTED,
    "failed": Happening.FAILED,
}
_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}")
#: Bounds on what a machine can put into the log.
_MOST_FIELDS, _MOST_TEXT = 12, 400
_INSTALLING = frozenset({Stage.ENROLL, Stage.PROVISION, Stage.INSPECT})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    text: str = ""


_NOT_FOUND = Reply(404, "there is nothing here\n")
_GONE = Reply(410, "this attempt is over\n")


class Answers:
    """Answers the machines of one build."""

    def __init__(
        self, builder: Builder, place: Place, authorized_keys: tuple[str, ...] = ()
    ) -> None:
        """Answer for a builder."""
        self._builder = builder
        self._place = place
        self._keys = authorized_keys

    def answer(self, method: str, path: str, query: str, body: str, source: str) -> Reply:
        """Answer one request.

        Args:
            method: GET or POST.
            path: below the root.
            query: after the question mark.
            body: of a POST.
            source: address of the machine.
        """
        match [method, *path.strip("/").split("/")]:
            case ["GET", "api", "boot"]:
                return self._boot(dict(parse_qsl(query)).get("mac", ""), source)
            case ["GET", "api", "orders", token]:
                found = self._attempt(token)
                return Reply(200, orders.render_orders(found)) if found else _GONE
            case ["GET", "api", "seed", token, name] if name in orders.SEEDS:
                found = self._attempt(token)
                return Reply(200, orders.SEEDS[name](found)) if found else _GONE
            case ["POST", "api", "report", token, kind] if kind in REPORTS:
                return self._report(token, kind, body)
            case _:
                return _NOT_FOUND

    def _boot(self, mac: str, source: str) -> Reply:
        plain = mac.lower().replace("-", ":")
        if not _MAC.fullmatch(plain):
            return Reply(400, "give mac=52-54-00-00-00-01\n")
        machine = self._builder.find_machine(plain)
        if machine is None:
            self._builder.note_unknown(plain, source)
            return Reply(200, ipxe.render_unknown(plain))
        if self._builder.note_asked(machine) in _INSTALLING:
            token = self._builder.token_of(machine.name)
            return Reply(200, ipxe.render_install(self._make(machine, token)))
        return Reply(200, ipxe.render_local(machine))

    def _attempt(self, token: str) -> Attempt | None:
        machine = self._builder.find_by_token(token)
        return self._make(machine, token) if machine else None

    def _make(self, machine: Machine, token: str) -> Attempt:
        return Attempt(
            self._place, machine, token, self._builder.may_wipe(machine.name), self._keys
        )

    def _report(self, token: str, kind: str, body: str) -> Reply:
        machine = self._builder.find_by_token(token)
        if machine is None:
            return _GONE
        fields = {
            key[:_MOST_TEXT]: _printable(value) for key, value in parse_qsl(body)[:_MOST_FIELDS]
        }
        detail = fields.pop("detail", "")
        if kind == "failed":
            detail = detail or "it reported a failure and did not say why"
        self._builder.report(machine, REPORTS[kind], fields, detail)
        return Reply(200, "heard\n")


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)[:_MOST_TEXT]
