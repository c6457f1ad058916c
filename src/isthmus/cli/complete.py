"""Completion of names: what a shell asks for when a person presses Tab.

Central is asked, for a moment only. Whatever goes wrong (no login, no answer, no clouds.yaml) there
is simply nothing to offer: a person who presses Tab wants no error in the line that is being typed.
"""

import contextlib
import io
import itertools
import queue
import re
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import typer

#: What `--os-cloud` is where nothing is said.
DEFAULT_CLOUD = "central"

#: How long a person may wait for names, in seconds.
ANSWER_S = 5.0
#: Most that are offered.
_MOST = 200
#: What a shell takes as one word, without quotes.
_WORD = re.compile(r"[A-Za-z0-9_.@%+=,/][A-Za-z0-9_.@%+=,/-]*")

Offer = tuple[str, str]  #: a word, and what it is (shown by zsh and fish)


def sites(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of sites."""
    return _offer(ctx, incomplete, lambda api: _name(api, "site", "state"))


def networks(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of networks."""
    return _offer(ctx, incomplete, lambda api: _name(api, "network", "status"))


def pools(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of subnets and networks."""
    return _offer(
        ctx,
        incomplete,
        lambda api: itertools.chain(_name(api, "subnet", "cidr"), _name(api, "network", "status")),
    )


def routers(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of routers."""
    return _offer(ctx, incomplete, lambda api: _name(api, "router", "status"))


def ports(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of ports."""
    return _offer(ctx, incomplete, lambda api: _name(api, "port", "mac_address"))


def jobs(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the ids of jobs."""

    def list_jobs(api: Any) -> Iterable[Offer]:
        for row in api.iterate("site_job", fields=["id", "type", "site", "state"]):
            yield row["id"], f"{row['type']} for {row['site']}, {row['state']}"

    return _offer(ctx, incomplete, list_jobs)


def events(incomplete: str) -> list[str]:
    """Offer what events tell of, and the words before the dot, which stand for all of theirs."""
    from isthmus.model.intent import What

    words = sorted({*(str(one) for one in What), *(one.partition(".")[0] for one in What)})
    return [one for one in words if _fits(one, incomplete)]


def clouds(incomplete: str) -> list[str]:
    """Offer the entries of clouds.yaml."""

    def find() -> list[str]:
        from isthmus.clients.http.cloud import list_clouds

        return list_clouds()

    return [one for one in _ask(find) if _fits(one, incomplete)]


def _name(api: Any, resource: str, what: str) -> Iterable[Offer]:
    for row in api.iterate(resource, fields=["id", "name", what]):
        yield str(row.get("name") or ""), str(row.get(what) or "")


def _offer(
    ctx: typer.Context, incomplete: str, find: Callable[[Any], Iterable[Offer]]
) -> list[Offer]:
    """Ask central page by page, and keep what fits to the word that is being typed, each once."""
    cloud = _find_cloud(ctx)

    def ask() -> list[Offer]:
        from isthmus.wiring.admin import Admin

        found: dict[str, str] = {}
        for word, what in find(Admin(cloud).api):
            if _fits(word, incomplete):
                found[word] = what
            if len(found) == _MOST:
                break
        return sorted(found.items())

    return _ask(ask)


def _fits(word: str, incomplete: str) -> bool:
    return word.startswith(incomplete) and _WORD.fullmatch(word) is not None


def _find_cloud(ctx: typer.Context) -> str:
    """Return the entry of clouds.yaml that the line names, behind the command or before it.

    Where the line names none, the environment does.
    """
    own: Any = ctx.params.get("os_cloud")
    of_all: Any = ctx.find_root().params.get("os_cloud")
    source = ctx.get_parameter_source("os_cloud")
    typed = source is not None and source.name == "COMMANDLINE"
    return str((own if typed else of_all or own) or DEFAULT_CLOUD)


def _ask(find: Callable[[], list[Any]]) -> list[Any]:
    """Ask for a moment; nothing is said of what went wrong."""
    answers: queue.Queue[list[Any]] = queue.Queue()

    def ask() -> None:
        with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
            answers.put(find())
            return
        answers.put([])

    with contextlib.redirect_stderr(io.StringIO()):
        # A daemon: the shell's helper ends although somebody still waits for an answer.
        threading.Thread(target=ask, daemon=True).start()
        try:
            return answers.get(timeout=ANSWER_S)
        except queue.Empty:
            return []
