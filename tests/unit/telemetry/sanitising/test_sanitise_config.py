"""A setting that cannot be used is refused, with what to do."""

import pytest

from zerostate.errors import ConfigError
from zerostate.telemetry.sanitising import SanitiseConfig


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"audience": "everybody"}, "'everybody' is none of operator, guild, public"),
        ({"attributes": {"a": "burn"}}, "a: 'burn' is none of keep, truncate"),
        ({"patterns": {"p": "("}}, "p: no regular expression"),
        ({"patterns": {"p": "a*"}}, "p: matches the empty text"),
        ({"patterns": {"p": "a" * 513}}, "p: 513 characters; the limit is 512"),
        ({"patterns": {str(n): "a" for n in range(33)}}, "33; the limit is 32"),
        ({"hash_key": b"short"}, "5 bytes; it needs at least 16"),
        ({"truncate_chars": 0}, "truncate_chars: 0 is below 1"),
        ({"max_value_chars": 0}, "max_value_chars: 0 is not between 1 and"),
        ({"max_value_chars": 1 << 21}, "is not between 1 and 1048576"),
        ({"secret_names": (" ",)}, "secret_names: one is empty"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(fields, complaint):
    with pytest.raises(ConfigError) as caught:
        SanitiseConfig(**fields)

    assert complaint in str(caught.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(ConfigError) as caught:
        SanitiseConfig(audience="all", truncate_chars=0, patterns={"p": "["})

    assert len(caught.value.problems) == 3


def test_the_key_is_not_shown():
    assert "not-to-be-seen" not in repr(SanitiseConfig(hash_key=b"not-to-be-seen--"))
