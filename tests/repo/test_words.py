"""One word, one meaning: words that were given up, or that belong to the field, stay away."""

import functools
import re
from pathlib import Path

import pytest
from tests.repo.test_house import tracked

ROOT = Path(__file__).parents[2]

#: What may speak of the old words, or quotes others who use them.
EXEMPT = {
    "LICENSE",
    "changelog.d/8.upgrade.10.md",
    "docs/glossary.md",
    "requirements.lock",
    "tests/conformance/requirements.lock",
    "tests/qemu/nova.lock",
    "tests/repo/test_words.py",
    "tests/tables/nfv/nova_fit.json",
}

#: old word: (pattern, what to say, files that mean something else by it)
OLD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "routing": (
        r"(?<!policy )\broutings?\b(?! table)|[a-z_]_routings?\b|ROUTINGS",
        "site mapping: routing is layer 3",
        (),
    ),
    "routed": (r"\bis_routed\b|\bwho routes\b|\broute_groups\b", "mapped", ()),
    "placement": (
        r"\bplacements?\b|\bPlacement\b",
        "presence; extend and withdraw: Placement is a service",
        (
            "README.md",
            "ansible_collections/*",
            "bench/nova_fit.py",
            "changelog.d/11.*",
            "changelog.d/13.*",
            "docs/adr/0077-*",
            "docs/adr/0078-*",
            "docs/adr/0112-*",
            "docs/adr/0114-*",
            "docs/explanation/capacity.md",
            "docs/howto/build.md",
            "docs/howto/cells.md",
            "docs/howto/lab.md",
            "pyproject.toml",
            "src/isthmus/build/configure/*",
            "src/isthmus/cells/*",
            "src/isthmus/cli/compute/*",
            "src/isthmus/services/compute.py",
            "src/isthmus/services/identity.py",
            "src/isthmus/cli/lab.py",
            "src/isthmus/config/nova.py",
            "src/isthmus/lab/*",
            "src/isthmus/model/compute/*",
            "src/isthmus/nova/*",
            "src/isthmus/store/nova/*",
            "src/isthmus/wiring/compute/*",
            "tests/acceptance/test_build_files.py",
            "tests/cells/*",
            "tests/lab/bare.py",
            "tests/lab/machine.py",
            "tests/lab/test_build_*",
            "tests/lab/test_cells.py",
            "tests/lab/test_compute.py",
            "tests/unit/test_build_compute.py",
            "tests/unit/test_cells.py",
            "tests/unit/test_lab_compute.py",
            "docs/reference/cli.md",
            "docs/reference/nfv.md",
            "src/isthmus/model/service.py",
            "src/isthmus/nfv/*",
            "tests/qemu/nova_host.py",
            "tests/unit/test_nfv_secrets.py",
        ),
    ),
    "placed": (
        r"\bplaced? ahead\b|\b[Pp]lace a network\b|\bplaces? (the|a) port's network\b",
        "extend a network to a site",
        (),
    ),
    "snapshot": (
        r"\bsnapshots?\b|SNAPSHOT|snapshot_|_snapshot",
        "desired state: a snapshot is an image's, or a transaction's",
        (
            "docs/adr/0014-*",
            "tests/conformance/compute*",
            "src/isthmus/neutron/db/sqlite.py",
            "src/isthmus/store/local/mapping.py",
            "src/isthmus/store/sql/clock.py",
            "src/isthmus/store/tiers/locked.py",
            "tests/ports/test_lane_mariadb.py",
            "tests/ports/test_lease_store.py",
            "tests/ports/test_registration_mariadb.py",
        ),
    ),
    "inventory of a tier": (
        r"site.inventor|SITE_INVENTOR|\bInventory\b|\btier's inventory\b|\binventor\w+ of .*tier",
        "holdings: inventory is Placement's, and hardware's",
        (),
    ),
    "speaker": (r"\bspeakers?\b|get_speaker", "caller: a speaker is BGP's", ()),
    "grant": (
        r"site.grants?\b|SITE_GRANTS|\bask_grant\b|\bmake_grant\b|\bkey not granted\b|\ba grant\b",
        "lease request: a grant is Keystone's",
        (),
    ),
    "exchange": (
        r"\bexchange\.(service|report|bundle|grant)\b|/exchange\b|\bExchangeCalls\b",
        "site_api: an exchange is RabbitMQ's",
        (),
    ),
    "drain of a lane": (
        r"\bDrain\b(?! and remove|,)|\bDrainSettings\b|\bdrained\b|\bdrain\.(claimed|read)\b",
        "delivery: an operator drains a site",
        (),
    ),
    "outbox": (r"\b[Oo]utbox\b", "listener: the table is the journal", ()),
    "wire": (r"\b(to|from)_wire\b", "to_dict, from_dict", ()),
    "door": (r"[Dd]oors?\b", "client; boundary", ()),
    "knock": (r"\bknock", "ping", ()),
    "intent of NFV": (
        r"\b(Nfv|nfv_)[Ii]ntent\b|--intent\b|\bintent\.yaml\b|\bparse_intent\b",
        "demand: an intent is a row of the journal",
        (),
    ),
    "room": (r"\bRoom\(|: Room\b|\b_ROOM\b|local\.room\b", "connections, NodeSpace", ()),
    "wish": (r"\b(\w+)?Wish\b|\bwish(es)?\b", "request, demand", ()),
    "nearest": (r"\bplan_or_nearest\b|\bnearest (intent|demand)s?\b", "alternatives", ()),
    "looking": (r'"looking"|\blooking=|\bis_look\b', "show_only, is_read", ()),
    "pokes and burials": (
        r"\bpoke[ds]?\b|\bbur(y|ied)\b|\buntold\b|\b(mark|list|find|peek)_(un)?told\b|\bcarve[sd]?\b|\bluck\b",
        "notify_low, set_aside, unacknowledged, allocate, uniform",
        (),
    ),
    "passes": (
        r"\b(lease|stretch)_pass_s\b|\bsweep_interval_s\b|\brenew_interval_s\b",
        "*_sweep_s: every periodic full comparison is a sweep",
        (),
    ),
    "six words for forgetting": (
        r"\bstore[./]tiers[./](purge|removal)\b|\b(purge|removal)\.forget",
        "forget: one file, isthmus.store.tiers.forget",
        (),
    ),
    "settle, of a tier": (
        r"\b(require|is|has)_settled|\b[Uu]nsettled|\bsettle_with|\b(epoch|home|tier)\.settle\("
        r"|\b(own|\)|row)\.settled\b|\"settled\"|\b(has|have|had)( not)? settled\b|lease_settle_s",
        "recover: a journal's claims are settled",
        (),
    ),
    "claim, of a site": (
        r"isthmus_(lease_|number_)?claims\b|\b(LEASE_|NUMBER_)?CLAIMS\b|\btiers[./]claim\b|\bclaimants?\b"
        r"|hypervisor\.claim\b|\bclaim\.(end|follow|find_place|Welcome|Move)\b",
        "name, named_port: a worker claims intents",
        (),
    ),
    "hold, for a lock": (
        r"\bHeld\(|\bstore[./]tiers[./]held\b|\b(joined|pool|site_store)\.hold\(|\bhold_(at|objects|site)\b"
        r"|\bheld_(by|routers|networks)\b|\bholds_s\b|\bdataplane[./]hold\b|\blist_held_back\b",
        "lock, LockedObjects; claim_s; defer: what a tier holds are its holdings",
        (),
    ),
    "ports for Protocols": (
        r"\b(journal|lab|nfv|run)[./]ports\b",
        "protocols: a port is Neutron's",
        (),
    ),
}


@functools.cache
def texts() -> dict[Path, str]:
    found = {}
    for path in tracked("*.py", "*.md", "*.toml", "*.yaml", "*.yml", "*.sh", "dev", ".ci/*"):
        name = path.relative_to(ROOT)
        if str(name) not in EXEMPT and path.is_file():
            found[name] = path.read_text()
    return found


@pytest.mark.parametrize("word", OLD)
def test_a_word_that_was_given_up_stays_away(word: str) -> None:
    pattern, instead, elsewhere = OLD[word]
    wanted = re.compile(pattern)
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        if wanted.search(text)  # far quicker than line by line, and most files have none
        if not any(path.match(one) or str(path).startswith(one.rstrip("*")) for one in elsewhere)
        for number, line in enumerate(text.splitlines(), start=1)
        if wanted.search(line)
    ]
    assert not found, f"say {instead}:\n" + "\n".join(found[:40])


def test_every_new_word_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    words = ("site mapping", "presence", "desired state", "holdings", "caller", "lease request")
    more = ("delivery", "listener", "demand", "sweep", "client", "epoch", "verdict")
    for word in (*words, *more, "settle", "claim", "hold", "lock", "recover", "name"):
        assert f"| {word} |" in glossary, f"docs/glossary.md does not say what {word} means"
