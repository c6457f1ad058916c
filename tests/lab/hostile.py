"""What somebody who owns site1 holds and sees, and how he tries it elsewhere.

Keystone's own keys and database are left aside: who has them is everybody (`docs/explanation/
trust.md`). All else that stands in the files of site1's services is here, and the token that Xjob
sends it.
"""

import configparser
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import override

from isthmus.lab.plan import KEYSTONE_PORT, NEUTRON_PORT, LabPlan
from isthmus.model.topology import Tier
from isthmus.store.sql.engine import open_engine, reading
from isthmus.store.tiers import epoch

#: Longest wait for one answer, in seconds.
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Answer:
    """What an API said."""

    status: int
    body: Any
    request_id: str
    user_id: str = ""  #: whose token went along

    @property
    def code(self) -> str:
        """The error code of the one item of a report, or ""."""
        results = self.body["site_report"]["results"]
        return str(results[0]["code"])


@dataclass
class Attacker:
    """Site1, in the wrong hands."""

    plan: LabPlan
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)  #: token, user's id

    def tier(self, name: str) -> Tier:
        return next(tier for tier in self.plan.tiers if tier.name == name)

    def log_in(self, name: str, config: Path, group: str) -> None:
        """Log in with what stands in a file, and keep the token under a name."""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(config)
        options = parser[group]
        self.log_in_as(name, options["username"], options["password"], options["project_name"])

    def log_in_as(self, name: str, user: str, password: str, project: str) -> None:
        identity = {"user": {"name": user, "domain": {"id": "default"}, "password": password}}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        body = {"identity": {"methods": ["password"], "password": identity}, "scope": scope}
        address = self.tier("site1").management_address
        url = f"http://{address}:{KEYSTONE_PORT}/v3/auth/tokens"
        status, answer, headers = _send("POST", url, {"auth": body}, {})
        assert status == 201, (user, answer)
        self.tokens[name] = (headers["X-Subject-Token"], answer["token"]["user"]["id"])

    def call(
        self,
        who: str,
        tier: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call a Neutron with one of the tokens, or with none."""
        token, user_id = self.tokens.get(who, ("", ""))
        url = f"http://{self.tier(tier).management_address}:{NEUTRON_PORT}/v2.0/{path}"
        sent = {**({"X-Auth-Token": token} if token else {}), **(headers or {})}
        if tier == "central" and isinstance(body, dict):
            body = self._speak(body)
        status, answer, got = _send(method, url, body, sent)
        return Answer(status, answer, str(got.get("x-openstack-request-id")), user_id)

    def _speak(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Speak as the incarnation that central has heard of last, as site1 itself would."""
        (name, values), *more = body.items()
        if more or name not in ("site_bundle", "site_lease_request", "site_report"):
            return dict(body)
        return {name: {"incarnation": self.incarnation(), **values}}

    def incarnation(self) -> str:
        """Tell which incarnation of site1 is heard, from its own database."""
        engine = open_engine(f"sqlite:///{self.plan.tier_dir(self.tier('site1'))}/neutron.db")
        try:
            with reading(engine) as connection:
                return epoch.peek_incarnation(connection)
        finally:
            engine.dispose()

    def log(self, tier: str) -> str:
        return (self.plan.log_dir / f"{tier}.neutron.log").read_text(errors="replace")


class _Stay(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *_: Any) -> None:
        """Go nowhere."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)


def _send(
    method: str, url: str, body: Any, headers: Mapping[str, str]
) -> tuple[int, Any, Mapping[str, str]]:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        request.add_header(name, value)
    try:
        with _OPENER.open(request, timeout=_TIMEOUT_S) as response:
            status, got, raw = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, got, raw = error.code, error.headers, error.read()
    try:
        answer = json.loads(raw) if raw else None
    except ValueError:
        answer = raw.decode(errors="replace")
    return status, answer, dict(got.items())
