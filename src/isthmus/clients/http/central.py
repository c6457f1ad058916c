"""Central as a site calls it: bundles, lease requests and reports over Neutron's API."""

import hashlib
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.clients.http.central_link import CentralLink
from isthmus.clients.http.status import blame
from isthmus.model.item import Item, ItemResult, read_results

#: Longest text of a call of a registration, in characters; central takes parts of this length.
_MOST_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """What central gives for use at this site."""

    items: list[Item]  #: in the order in which they are made; none of what the asker may not see
    refused: dict[str, errors.IsthmusError]  #: by id: seen, but not to be had at this site


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """What a site holds of a pool, by central's word."""

    leases: list[Mapping[str, Any]]  #: the state of each lease
    resting: frozenset[int]  #: of the numbers asked about, those that must not be used yet
    elsewhere: frozenset[int] = frozenset()  #: those that ports of other sites have


class CentralClient(CentralLink):
    """The calls that a site makes; safe for threads."""

    def ask_bundle(
        self,
        kind: str,
        ids: Sequence[str],
        *,
        show_only: bool = False,
    ) -> Bundle:
        """Request objects with everything that they need at this site, on behalf of a user.

        Central trusts the user's own token, which is sent along; where this thread works for
        nobody, it returns what the site is entitled to by itself.

        Args:
            kind: their type.
            ids: their ids.
            show_only: only show ports: extend nothing, move no home.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        body = {"type": kind, "ids": list(ids), "show_only": show_only}
        answer = self.post("site_bundle", body, probe=False, token=self.person())
        refused = answer.get("refused") or []
        return Bundle(
            items=[Item.from_dict(one) for one in _list(answer, "items")],
            refused={
                str(one["id"]): errors.from_code(str(one["code"]), str(one["message"]))
                for one in refused
            },
        )

    def ask_mac(self, network_id: str, mac: str, port_id: str | None) -> bool:
        """Return whether another port of a network has a MAC.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        body = {
            "type": "network",
            "ids": [network_id],
            "show_only": True,
            "mac_address": mac,
            "port_id": port_id,
        }
        return bool(self.post("site_bundle", body, probe=False).get("mac_in_use"))

    def list_shown(
        self, path: str, query: Sequence[tuple[str, str]]
    ) -> list[Mapping[str, Any]] | None:
        """List what central's own API shows to the user for whom this thread works.

        Args:
            path: of a collection, such as `/v2.0/networks`.
            query: filters.

        Returns:
            What that user may see; None where this thread works for nobody.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        token = self.person()
        if token is None:
            return None
        asked = f"{path}?{urllib.parse.urlencode(query)}"
        answer = self.call("GET", asked, None, probe=False, token=token)
        lists = [one for one in answer.values() if isinstance(one, list)] if answer else []
        if len(lists) != 1:
            raise errors.ProtocolError(f"central's answer to {path} is not one list")
        return lists[0]

    def request_leases(  # noqa: PLR0913 - what a request says
        self,
        kind: str,
        pool_id: str,
        *,
        count: int = 0,
        address: str | None = None,
        give_back: Sequence[str | Mapping[str, str]] = (),
        news: Mapping[str, Sequence[Any]] | None = None,
        probe: bool = False,
        speaks: str | None = None,
    ) -> LeaseAnswer:
        """Request more numbers of a pool or one address, and give blocks back.

        Args:
            kind: a `PoolKind`.
            pool_id: the subnet's or network's id.
            count: how many more numbers are wanted.
            address: an address whose block is wanted.
            give_back: parts of leases that the site no longer uses: `lease`, the id under which it
                was granted, `first` and `last`.
            news: `resting`, numbers at rest with their former ports; `answered`, leases of which
                central asked something back and has what is idle.
            probe: whether the caller has time to find out that the link is down.
            speaks: the incarnation of the database in which the caller has read what it says; None
                where that comes from no database. Another one may have what this one gives back.

        Returns:
            The states of every lease of the pool that the site now holds, and which of the numbers
            at rest must not be used.

        Raises:
            Conflict: the pool is exhausted, or the address is another's.
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        body = {
            "kind": kind,
            "pool_id": pool_id,
            "count": count,
            "address": address,
            "give_back": list(give_back),
            **{name: list(ids) for name, ids in (news or {}).items()},
        }
        answer = self.post("site_lease_request", body, probe=probe, speaks=speaks)
        return LeaseAnswer(
            _list(answer, "leases"), _numbers(answer, "resting"), _numbers(answer, "elsewhere")
        )

    def send_reports(self, items: Sequence[Item], *, sequence: int) -> list[ItemResult]:
        """Report objects of this site to central; return a result for each that it has reached.

        Args:
            items: at most 25.
            sequence: number of the batch in the lane.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused the batch, or its answer is of no use.
        """
        body = {"sequence": sequence, "items": [item.to_dict() for item in items]}
        try:
            answer = self.post("site_report", body, probe=True, slow=True)
        except errors.Unreachable as error:
            raise blame(error, self.check) from error
        return read_results(answer.get("results"), items)

    def register(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Register this site: its incarnation and, if central asks, its own state.

        What is too long for one call goes ahead in parts; central takes them all with this one.

        Raises:
            Unreachable, TimedOut: central did not answer.
            IsthmusError: it refused, or its answer is of no use.
        """
        left = self._send_ahead(body)
        names = left.get("leases") is not None or "parts" in left
        answer = self.post("site_registration", left, probe=True, slow=names)
        missing = {"registration", "epoch", "restored", "register", "heard", "proof", "seen"} - set(
            answer
        )
        if missing:
            raise errors.ProtocolError(f"central's answer has no {', '.join(sorted(missing))}")
        for name in ("void", "leases", "port_keys", "aside"):
            _list(answer, name)
        return answer

    def _send_ahead(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send what of a registration is too long for one call; return what is left for the last.

        The digest of the whole says which parts belong together. So one may come twice, and two
        processes may send theirs at once.
        """
        lists = {name: one for name, one in body.items() if isinstance(one, list | dict)}
        text = json.dumps(lists, separators=(",", ":"))
        if len(text) <= _MOST_TEXT:
            return body
        digest = hashlib.sha256(text.encode()).hexdigest()
        starts = range(0, len(text), _MOST_TEXT)
        for number, start in enumerate(starts):
            part = {"digest": digest, "number": number, "text": text[start : start + _MOST_TEXT]}
            self.post("site_registration", {"epoch": body["epoch"], "part": part}, probe=True)
        left = {name: one for name, one in body.items() if name not in lists}
        return {**left, "parts": {"digest": digest, "count": len(starts)}}


def _numbers(answer: Mapping[str, Any], name: str) -> frozenset[int]:
    try:
        return frozenset(int(one) for one in answer.get(name, ()))
    except (OverflowError, TypeError, ValueError) as error:
        raise errors.ProtocolError(f"central's answer has no numbers as {name}") from error


def _list(answer: Mapping[str, Any], name: str) -> list[Any]:
    found = answer.get(name)
    if not isinstance(found, list):
        raise errors.ProtocolError(f"central's answer has no list of {name}")
    return found
