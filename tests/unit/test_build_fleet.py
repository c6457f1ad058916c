"""The fleet file: every fault at once, each at its place; and nothing that YAML makes of words."""

import pytest

from isthmus.build.fleet import form
from isthmus.build.fleet.check import RULES, check_fleet
from isthmus.build.fleet.document import read_document
from isthmus.build.fleet.resolve import resolve_fleet
from isthmus.model.rack.fleet import Fleet
from isthmus.testing.build.build_fleet import SMALL, make_fleet


def sound(text: str) -> Fleet:
    reading = check_fleet(text)
    assert reading.faults == ()
    assert reading.fleet is not None
    return reading.fleet


def changed(*changes: tuple[str, str]) -> str:
    text = SMALL
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    return text


def faults(*changes: tuple[str, str]) -> list[str]:
    return [one.say("f") for one in check_fleet(changed(*changes)).faults]


def test_a_sound_file() -> None:
    machines = resolve_fleet(sound(SMALL))
    assert [(one.name, one.address) for one in machines] == [
        ("c1", "192.0.2.20"),
        ("c2", "192.0.2.21"),
        ("c3", "192.0.2.22"),
        ("n1", "192.0.2.23"),
    ]
    assert machines[0].is_controller
    assert (machines[0].bmc.address, machines[0].bmc.user) == ("203.0.113.1", "admin")


def test_a_large_file_is_sound() -> None:
    assert len(resolve_fleet(sound(make_fleet(797)))) == 800


def test_an_address_once_given_stays() -> None:
    known = {"52:54:00:00:00:11": "192.0.2.20"}
    assert [one.address for one in resolve_fleet(sound(SMALL), known)] == [
        "192.0.2.21",
        "192.0.2.22",
        "192.0.2.23",
        "192.0.2.20",
    ]


#: (what is changed in SMALL, what must be said about it; @WORD| where the place is that word)
CASES = [
    ([("root_gib", "root_gb")], "@root_gb|there is no key root_gb here; did you mean root_gib?"),
    ([("root_gib: 20", "root_gib: lots")], "@lots|root_gib: must be a valid integer, unable"),
    ([("root_gib: 20", "root_gib: 2")], "@2}|root_gib: must be greater than or equal to 4"),
    ([("name: c1, mac", "name: c_1, mac")], "@c_1|name: 'c_1' is not lower case letters"),
    ([("mac: 52:54:00:00:00:01, ", "")], "@{name: c1|mac is missing"),
    ([("mac: 52:54:00:00:00:01", "mac: 52:54:00:01")], "is not six pairs of hex digits"),
    ([("mac: 52:", "mac: 53:")], "@53:|53:54:00:00:00:01 is a group address"),
    ([("c1, mac", "c1, firmware: efi, mac")], "@efi|firmware: must be 'bios' or 'uefi'"),
    ([("00:00:02", "00:00:01")], "is given twice among the MAC addresses: first in line 27"),
    ([("name: c2", "name: c1")], "@c1|c1 is given twice among the nodes: first in line 27"),
    ([("113.2}", "113.1}")], "203.0.113.1 is given twice among the addresses of management"),
    ([("- name: r2", "- name: r1")], "r1 is given twice among the racks of north"),
    ([("name: store", "name: boot")], "boot is given twice among the networks of north"),
    ([(", bmc: {user: admin, secret: bmc}", ""), (", bmc: {address: 203.0.113.1}", "")],
     "@{name: c1|c1 has no power control"),
    ([(", bmc: {address: 203.0.113.1}", "")], "the bmc of c1 has no address"),
    ([("roles: [compute]", "roles: [compte]")], "there is no role compte; did you mean compute?"),
    ([("image: debian", "image: debain")], "there is no image debain; did you mean debian?"),
    ([("disks: plain", "disks: pln")], "@pln|there is no disk layout pln"),
    ([("provisioning: boot", "provisioning: bot")], "there is no network bot; did you mean boot?"),
    ([("keystone: [", "keystoen: [")], "there is no service keystoen; did you mean keystone?"),
    ([("mariadb: [control]", "mariadb: [controls]")], "@controls|there is no role controls"),
    ([("mariadb: [control]", "mariadb: []")], "mariadb is placed on no role"),
    ([("192.0.2.0/24", "192.0.2.1/24")], "write the network's own address"),
    ([("198.51.100.0/25", "192.0.2.128/25")], "overlaps boot of north (192.0.2.0/24), line 22"),
    ([("gateway: 192.0.2.254", "gateway: 192.0.3.1")], "192.0.3.1 is not in boot"),
    ([("192.0.2.20-192.0.2.99", "192.0.2.20..99")], "is not of the form FIRST-LAST"),
    ([("192.0.2.20-192.0.2.99", "192.0.2.99-192.0.2.20")], "ends before it begins"),
    ([("192.0.2.20-192.0.2.99", "192.0.2.20-192.0.3.9")], "is not inside 192.0.2.0/24"),
    ([("192.0.2.20-192.0.2.99", "192.0.2.20-192.0.2.22")],
     "boot has 3 free addresses, and 4 machines need one: widen the pool"),
    ([("vip: 192.0.2.5", "vip: 192.0.9.5")], "the VIP: 192.0.9.5 is not in boot"),
    ([(", vip: 192.0.2.5", "")], "north has 3 controllers and no vip"),
    ([("c1, mac", "c1, addresses: {boot: 192.0.3.7}, mac")], "c1: 192.0.3.7 is not in boot"),
    ([("c1, mac", "c1, addresses: {boot: 192.0.2.0}, mac")], "first or last address"),
    ([("c1, mac", "c1, addresses: {boot: 192.0.2.5}, mac")], "belongs to the VIP of north"),
    ([("c1, mac", "c1, addresses: {boot: 192.0.2.1}, mac")], "belongs to the builder already"),
    ([("c1, mac", "c1, addresses: {boot: 192.0.2.9}, mac"),
      ("c2, mac", "c2, addresses: {boot: 192.0.2.9}, mac")], "belongs to c1, line 27 already"),
    ([("c1, mac", "c1, addresses: {bot: 192.0.2.9}, mac")], "there is no network bot"),
    ([("c1, mac", "c1, addresses: {boot: here}, mac")], "c1: 'here' is no IP address"),
    ([("controllers: 3", "controllers: 2")], "@2, vip|north has 2 controllers: take an odd"),
    ([("controllers: 3", "controllers: 5")], "north has 3 machines of role control, and ha"),
    ([("least: 3", "least: 4")], "north has 3 machines of role control, and needs 4"),
    ([("nova-compute: [compute]", "nova-compute: [compute]\n  rabbitmq: [control, compute]")],
     "rabbitmq would run on 4 machines of north: it keeps a majority"),
    ([("- {name: compute, least: 1}", "- {name: compute}\n- {name: gpu}"),
      ("[compute]\ndefaults", "[gpu]\ndefaults")], "no machine of north carries nova-compute"),
    ([(", roles: [compute]", "")], "n1 has no role: give roles, here or in defaults"),
    ([("image: debian, ", "")], "c1 has no image: give image"),
    ([("disks: plain, ", "")], "c1 has no disk layout: give disks"),
    ([("  size_mib: 620\n", "")], "the image debian is used with install: image, which needs size"),
    ([("image: debian, ", "image: debian, install: preseed, ")], "needs kernel, initrd, tree, rel"),
    ([("root_gib", "raid: mirror, root_gib")], "the mirror plain needs a second disk"),
    ([("root_gib", "raid: mirror, mirror: /dev/vda, root_gib")], "/dev/vda mirrors itself"),
    ([("root_gib", "raid: mirror, mirror: /dev/vdb, root_gib")], "only installers make software"),
    ([("address: 192.0.2.1,", "address: here,")], "@here|'here' is no IP address"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), CASES, ids=lambda one: str(one)[:48])
def test_a_fault_is_told_at_its_place(changes: list[tuple[str, str]], said: str) -> None:
    text = changed(*changes)
    found = check_fleet(text).faults
    at, _, message = said.rpartition("|")
    told = [one for one in found if message in one.message]
    assert told, found
    assert text.splitlines()[told[0].line - 1][told[0].column - 1 :].startswith(at[1:])


def test_one_mistake_is_told_once() -> None:
    assert len(faults(("root_gib", "root_gb"))) == 1
    assert len(faults(("roles: [compute]", "roles: [compte]"))) == 1
    assert len(faults(("mac: 52:54:00:00:00:01, ", ""))) == 1


def test_faults_of_form_hide_none_of_sense() -> None:
    found = faults(
        ("root_gib", "root_gb"),
        ("mac: 52:54:00:00:00:01, ", ""),
        ("00:00:03", "00:00:11"),
        ("controllers: 3", "controllers: 4"),
        ("gateway: 192.0.2.254", "gateway: 192.0.3.1"),
    )
    assert [one.split(": ")[0] for one in found] == [
        *("f:8:35", "f:20:21", "f:22:76", "f:27:7", "f:32:23"),
    ]


def test_a_machine_that_was_cut_out_is_no_missing_one() -> None:
    """c1 has a fault of form: that north lacks a controller is not said beside it."""
    assert faults(("name: c1, mac", "name: c_1, mac")) == [
        "f:27:14: name: 'c_1' is not lower case letters, digits, -"
    ]


def test_yaml_makes_nothing_of_words() -> None:
    values = read_document(
        "mac: 52:54:00:12:34:56\nno: on\ndate: 2026-11-26\nserial: 0123\nsum: 1e5\nport: 8080\n"
        "share: 0.5\nflag: true\nquoted: '12'\nnone: ~\n"
    ).values
    assert values == {
        "mac": "52:54:00:12:34:56",
        "no": "on",
        "date": "2026-11-26",
        "serial": "0123",
        "sum": "1e5",
        "port": 8080,
        "share": 0.5,
        "flag": True,
        "quoted": "12",
        "none": None,
    }


def test_anchors_and_merges() -> None:
    values = read_document("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n").values
    assert values["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the file is empty"),
        ("a: [1", "this is not YAML"),
        ("- a", "1:1: a fleet is a mapping"),
        ("builder: {}\nbuilder: {}", "2:1: the key builder is given twice"),
        ("? [a, b]\n: c", "1:3: a key must be a word"),
        ("a: &a [*a]", "alias that holds itself"),
        ("\tx: 1", "this is not YAML"),
    ],
)
def test_files_that_are_no_fleet(text: str, said: str) -> None:
    reading = check_fleet(text)
    assert reading.fleet is None
    assert [one for one in reading.faults if said in one.say("f")], reading.faults


def test_a_file_of_aliases_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine lines that stand for a thousand million values."""
    monkeypatch.setattr("isthmus.build.fleet.document.MOST_VALUES", 10_000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 10000 values" in check_fleet("\n".join(lines)).faults[0].message


def test_every_rule_is_in_the_list() -> None:
    from isthmus.build.fleet import rule_names, rule_networks, rule_sites

    written = {
        getattr(module, name)
        for module in (rule_names, rule_networks, rule_sites)
        for name in dir(module)
        if name.startswith("check_")
    }
    assert written == set(RULES)


def test_the_schema_takes_the_sound_file() -> None:
    import jsonschema
    import yaml

    schema = form.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    values = read_document(SMALL).values
    jsonschema.validate(values, schema)
    broken = yaml.safe_load(yaml.safe_dump(values))
    broken["sites"][0]["racks"][0]["nodes"][0]["mac"] = "none"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)
