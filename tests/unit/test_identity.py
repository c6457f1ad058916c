from isthmus.federation.identity import default_security_group_id


def test_every_tier_derives_the_same_id_for_ever() -> None:
    # Written down: a changed namespace would give every project a second default group.
    assert default_security_group_id("p1") == "f68eb5c6-c830-50b2-80b7-2e391e55b29b"
    assert default_security_group_id("p1") != default_security_group_id("p2")
