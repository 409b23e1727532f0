"""The pure parts: what makes two records the same, what the journal says of a record, what is the same content."""

from __future__ import annotations

import json
import random
from collections import Counter
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from amili_arm_async import Document, codec
from amili_arm_async.bulk.fingerprints import Fingerprinter, keyed_name
from amili_arm_async.bulk.fingerprints import content_name as name_of_content
from amili_arm_async.bulk.journal.matching import ResumeEntry, decide_customer, decide_document
from amili_arm_async.bulk.keys import CompactKeys, KeyRanges, without_case
from amili_arm_async.bulk.lookups import same_content

# --- JSON in many forms -----------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20),
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e30"), max_value=Decimal("1e30")),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)


def number_text(value: int | Decimal, chance: random.Random) -> str:
    """A number as JSON, in one of the forms that it has: 5, 5.0, 5.00, 5e0, 50e-1."""
    plain = format(Decimal(value), "f")
    if plain.startswith("-0") and Decimal(plain) == 0:
        plain = plain[1:]
    form = chance.randrange(5)
    if form == 0:
        return plain
    if form == 1:
        return (plain if "." in plain else plain + ".0") + "0" * chance.randrange(3)
    if form == 2:
        return plain + ("e0" if chance.random() < 0.5 else "E+0")
    sign, digits, exponent = Decimal(value).as_tuple()
    whole = "".join(map(str, digits)).lstrip("0")
    if not whole:
        return chance.choice(["0e5", "0E-1", "0.0"])
    if form == 3:
        return f"{'-' if sign else ''}{whole}e{exponent}"
    return f"{'-' if sign else ''}{whole}0e{exponent - 1}"


def text_of(value: Any, chance: random.Random) -> str:
    """A value as JSON: keys in any order, blanks anywhere, numbers in any form, letters escaped or not."""
    gap = chance.choice(["", " ", "\n", "\t "])
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, (int, Decimal)):
        return number_text(value, chance)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=chance.random() < 0.5)
    if isinstance(value, list):
        return "[" + gap + ("," + gap).join(text_of(item, chance) for item in value) + gap + "]"
    items = list(value.items())
    chance.shuffle(items)
    return "{" + gap + ("," + gap).join(f"{text_of(name, chance)}:{gap}{text_of(item, chance)}" for name, item in items) + gap + "}"


def bytes_of(value: Any, seed: int) -> bytes:
    return text_of(value, random.Random(seed)).encode()


def canonical(value: Any) -> Any:
    """What two values have in common that are the same: compared with this, they are equal exactly then."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    if isinstance(value, (int, Decimal)):
        return ("number", Decimal(value))
    if isinstance(value, list):
        return ("list", [canonical(item) for item in value])
    return ("object", {name: canonical(item) for name, item in value.items()})


def content_name(text: bytes) -> str:
    return name_of_content(text, document=False)


# --- the name of a customer without number ------------------------------------------------------------------------------------


@given(OBJECTS, st.integers(), st.integers())
def test_the_form_of_a_record_does_not_change_its_name(value, one, other):
    assert content_name(bytes_of(value, one)) == content_name(bytes_of(value, other))


@given(OBJECTS, OBJECTS, st.integers())
def test_other_content_has_another_name(value, other, seed):
    assume(canonical(value) != canonical(other))
    assert content_name(bytes_of(value, seed)) != content_name(bytes_of(other, seed))


@given(OBJECTS, st.integers(), st.data())
def test_one_changed_leaf_is_another_name(value, seed, data):
    other = changed(value, data)
    assert content_name(bytes_of(value, seed)) != content_name(bytes_of(other, seed))


def changed(value, data):
    """The object with one leaf, name or item changed."""
    leaves = list(paths(value))
    if not leaves:
        return {"more": 1}
    path = data.draw(st.sampled_from(leaves))
    inner = copied = deepcopy(value)
    for step in path[:-1]:
        inner = inner[step]
    before = inner[path[-1]]
    inner[path[-1]] = data.draw(VALUES.filter(lambda new: canonical(new) != canonical(before)))
    return copied


def paths(value, before=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield (*before, step)
        yield from paths(item, (*before, step))


@pytest.mark.parametrize(
    "forms",
    [
        ["5", "5.0", "5.00", "5e0", "0.5e1", "50e-1", "5E+0"],
        ["0", "0.0", "-0", "-0.0", "0e5", "0.000"],
        ["1e3", "1000", "1000.0", "0.1e4"],
        ["-12.5", "-12.50", "-1.25e1", "-125e-1"],
        ["123456789012345678901234567890", "123456789012345678901234567890.0", "12345678901234567890123456789e1"],
        ["0.1", "0.10", "1e-1"],
        ["1e400", "10e399", "1.0e400"],
        ["1e-400", "10e-401"],
    ],
    ids=lambda forms: forms[0],
)
def test_forms_of_one_number(forms):
    names = {content_name(b'{"a":%s,"b":[{"c":%s}]}' % (form.encode(), form.encode())) for form in forms}
    assert len(names) == 1


def test_different_values_have_different_names():
    values = [
        *(
            "0",
            "1",
            "-1",
            "0.1",
            "0.10000000000000000001",
            "0.1000000000000000055511151231257827",
            "9007199254740993",
            "9007199254740992",
            "1e400",
        ),
        *(
            "1e401",
            "1e-400",
            "12345678901234567890123456789.1",
            "12345678901234567890123456789.2",
            "true",
            "false",
            "null",
            '""',
            '"1"',
            '"0"',
            "[]",
        ),
        *("{}", "[1]", '"5.0"', '"5"', "5", '"\\u00e5"', '"a\\u030a"', '" "', "[[]]", "[null]", '{"a":null}', '"\\u0000"'),
        *("0.12345678901234567890123456789011", "0.12345678901234567890123456789012"),
    ]
    names = [content_name(b'{"a":%s}' % value.encode()) for value in values]
    assert [value for value, count in zip(values, map(Counter(names).__getitem__, names), strict=True) if count > 1] == []
    assert len({content_name(text) for text in (b'{"a":1}', b'{"b":1}', b'{"a":1,"b":null}', b"{}", b'{"A":1}')}) == 5


@pytest.mark.parametrize(
    "hard", ["1e99999999999999999999", "1" * 5000, "[" * 3000 + "]" * 3000, "1e-99999999999999999999"], ids=["huge", "long", "deep", "tiny"]
)
def test_what_can_hardly_be_read_is_still_told_apart(hard):
    names = {content_name(b'{"a":%s,"b":%d}' % (hard.encode(), number)) for number in range(3)}
    assert len(names) == 3
    assert content_name(b'{"a":%s}' % hard.encode()) == content_name(b'{"a":%s}' % hard.encode())


@given(OBJECTS)
def test_names_of_the_two_kinds_never_meet(value):
    text = bytes_of(value, 1)
    assert content_name(text) != keyed_name(text.decode())
    assert content_name(text)[0] != keyed_name("x")[0]


@given(st.text(max_size=6), st.text(max_size=6))
def test_keys_are_named_without_case(one, other):
    assert (keyed_name(one) == keyed_name(other)) == (one.casefold() == other.casefold())


@given(OBJECTS, st.integers(), st.integers())
def test_the_order_of_keys_does_not_change_a_print(value, one, other):
    def written(seed):
        def mixed(item):
            if isinstance(item, dict):
                pairs = list(item.items())
                random.Random(seed).shuffle(pairs)
                return {name: mixed(each) for name, each in pairs}
            return [mixed(each) for each in item] if isinstance(item, list) else str(item) if isinstance(item, Decimal) else item

        return json.dumps(mixed(value), ensure_ascii=False).encode()

    prints = Fingerprinter(Document)
    assert prints.of(written(one)) == prints.of(written(other))


# --- documents: what the journal says -----------------------------------------------------------------------------------------

STATES = ["succeeded", "open", "accepted", "unknown", "rejected", "failed", "not_sent"]
MAY_BE_ON_SERVER = STATES[:4]


def entries_of(states, content=1):
    return [ResumeEntry(row, state, content, batch=row, position=0) for row, state in enumerate(states)]


@given(st.lists(st.sampled_from(STATES), max_size=8), st.integers(0, 10), st.randoms(use_true_random=False))
@example(["failed", "unknown", "succeeded", "accepted"], 4, random.Random(0))
def test_equal_documents_take_the_states_in_fixed_order(states, count, chance):
    entries = entries_of(states)
    chance.shuffle(entries)
    decisions = [decide_document(entries, 1, place, numbered=False) for place in range(count)]

    there = sorted((state for state in states if state in MAY_BE_ON_SERVER), key=MAY_BE_ON_SERVER.index)
    assert [decision.taken.state for decision in decisions if decision.taken] == there[:count]
    assert [decision.send for decision in decisions] == [place >= len(there) for place in range(count)]
    assert not any(decision.conflict for decision in decisions)
    spoken_for = [id(decision.taken) for decision in decisions if decision.taken] + [
        id(entry) for decision in decisions for entry in decision.supersedes
    ]
    assert len(set(spoken_for)) == len(spoken_for), "each record of the journal stands for one of the source at the most"
    assert all(entry.state not in MAY_BE_ON_SERVER for decision in decisions for entry in decision.supersedes)
    assert all(len(decision.supersedes) <= 1 for decision in decisions), "one that goes out again takes the place of one"


@given(st.lists(st.tuples(st.sampled_from(STATES), st.integers(1, 3)), max_size=5), st.integers(1, 4))
def test_a_document_with_a_number_is_sent_once_at_most(found, content):
    entries = [ResumeEntry(row, state, print_, row, 0) for row, (state, print_) in enumerate(found)]
    first = decide_document(entries, content, 0, numbered=True)
    there = [(state, print_) for state, print_ in found if state in MAY_BE_ON_SERVER]

    assert first.send == (not there)
    if there:
        assert (first.taken is None) == (content not in {print_ for _, print_ in there})
        assert (first.conflict is None) == (first.taken is not None)
        if first.taken is not None:
            assert first.taken.content == content
            assert first.taken.state == min((state for state, print_ in there if print_ == content), key=STATES.index)
    else:
        assert len(first.supersedes) == len(found)
        entries.append(ResumeEntry(None, "current", content, 99, 0, claimed=0))
    if first.conflict is None:
        second = decide_document(entries, content, 1, numbered=True)
        assert second.conflict
        assert not second.send
        assert second.taken is None


# --- customers: a model -------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["succeeded", "failed", "rejected", "unknown"])), max_size=6),
    st.lists(st.integers(0, 2), max_size=6),
)
def test_the_last_version_of_a_customer_is_the_last_that_the_server_gets(history, source):
    """History: what was sent before, in order, and what became of it; then the source is gone through, and what is sent succeeds."""
    entries = [ResumeEntry(row, state, content, row, 0) for row, (content, state) in enumerate(history)]
    sent = [content for place, content in enumerate(source) if decide_customer(entries, content, place).send]
    if sent:
        assert sent[-1] == source[-1]
    else:
        assert set(source) <= {content for content, state in history if state == "succeeded"}


@given(st.lists(st.integers(0, 2), max_size=5), st.lists(st.integers(0, 3), max_size=2), st.randoms(use_true_random=False))
def test_in_another_order_the_last_version_is_the_last_that_the_server_gets_too(history, more, chance):
    entries = [ResumeEntry(row, "succeeded", content, 7 + row // 2, row % 2) for row, content in enumerate(history)]
    source = [*history, *more]
    chance.shuffle(source)
    sent = [content for place, content in enumerate(source) if decide_customer(entries, content, place).send]
    assert [*history, *sent][-1:] == source[-1:]
    assert source != history or not sent


def test_a_customer_that_is_the_same_is_not_sent():
    for state, send in (
        ("succeeded", False),
        ("accepted", False),
        ("open", False),
        ("unknown", True),
        ("failed", True),
        ("rejected", True),
        ("not_sent", True),
    ):
        assert decide_customer([ResumeEntry(0, state, 5, 7, 0)], 5, 0).send is send
        assert decide_customer([ResumeEntry(0, state, 4, 7, 0)], 5, 0).send is True
    assert decide_customer([], 5, 0).send is True


@pytest.mark.parametrize("state", ["open", "accepted"])
def test_a_newer_customer_waits_for_what_is_open(state):
    entries = [ResumeEntry(0, state, 4, 7, 0), ResumeEntry(1, "succeeded", 3, 8, 0)]
    decision = decide_customer(entries, 5, 0)
    assert decision.send
    assert 7 in decision.after


# --- keys ----------------------------------------------------------------------------------------------------------------------

KEYS = st.one_of(st.integers(0, 300).map(str), st.integers(0, 300).map(lambda number: f"{number:04}"), st.text(max_size=3))


@given(st.lists(st.lists(KEYS, min_size=1, max_size=6), max_size=90))
def test_a_key_that_was_there_is_never_called_fresh(batches):
    """Up to the first batch that is not fresh: from then on the journal itself is asked."""
    spans = KeyRanges()
    seen: set[str] = set()
    for batch in batches:
        keys = without_case(batch)
        fresh = spans.add(keys)
        if len(set(keys)) < len(keys) or not seen.isdisjoint(keys):
            assert not fresh
        if not fresh:
            break
        seen.update(keys)


@given(st.integers(1, 200), st.integers(1, 20), st.randoms(use_true_random=False))
def test_more_batches_than_there_is_room_for_spans(count, size, chance):
    """Batches whose keys lie apart, in any order: neighbours are put together, and none of their keys is called fresh again."""
    batches = [[f"{number * 1000 + place:08}" for place in range(size)] for number in range(count)]
    chance.shuffle(batches)
    spans = KeyRanges()
    gone = [batch for batch in batches if spans.add(batch)]
    for batch in gone:
        assert not spans.add([chance.choice(batch)])


def test_a_source_in_order_is_fresh_all_along():
    spans = KeyRanges()
    assert all(spans.add([str(number) for number in range(start, start + 100)]) for start in range(0, 100_000, 100))


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5)), max_size=20))
def test_compact_keys_are_a_list(keys):
    compact = CompactKeys(keys)
    assert list(compact) == compact.all() == keys
    assert len(compact) == len(keys)
    assert [compact[place] for place in range(len(keys))] == keys
    assert compact[1:3] == keys[1:3]


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=4)), max_size=12))
def test_without_case_no_key_is_lost(keys):
    found = set(without_case(keys))
    for key in keys:
        if key is not None:
            assert key.casefold() in found or "\0" in key
            assert set(key.casefold().split("\0")) <= found


# --- the same content ------------------------------------------------------------------------------------------------------------

WORDS = st.text("abcÆøå 0159.-", max_size=6)
SENT = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**12), 10**12),
        st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**6), max_value=10**6),
        WORDS,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["documentNo", "note", "amount", "lines", "flag"]), SENT, max_size=5)


def is_blank(value):
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def echoed(value: Any, chance: random.Random) -> Any:
    """A value as a server may show it: other case, blanks around it, numbers as they are, fields beside it, blanks left out."""
    if isinstance(value, str):
        value = chance.choice([value, value.upper(), value.lower()])
        return value if is_blank(value) else chance.choice(["", " ", "\t"]) + value + chance.choice(["", "  "])
    if isinstance(value, dict):
        shown = {name: echoed(item, chance) for name, item in value.items() if not is_blank(item) or chance.random() < 0.5}
        return {**shown, "_madeByTheServer": 1} if shown and chance.random() < 0.5 else shown
    if isinstance(value, list):
        return [echoed(item, chance) for item in value]
    return value


@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_what_a_server_shows_of_it_is_the_same(value, chance):
    value["documentNo"] = "D1"
    shown = echoed(value, chance)
    assert same_content(bytes_of(value, 1), text_of(shown, chance).encode())


@given(DOCUMENTS, st.integers(), st.integers())
def test_number_forms_and_order_do_not_count_either_way(value, one, other):
    first, second = bytes_of(value, one), bytes_of(value, other)
    assert same_content(first, second)
    assert same_content(second, first)


def folded(value: Any) -> Any:
    """Two leaves say the same exactly where this is equal."""
    if is_blank(value):
        return ("blank",)
    if isinstance(value, bool):
        return ("flag", value)
    if isinstance(value, (int, Decimal)):
        return ("number", Decimal(value))
    if isinstance(value, str):
        return ("text", value.strip().casefold())
    return ("other", repr(value))


@given(st.one_of(st.booleans(), st.integers(-99, 99), WORDS), st.one_of(st.booleans(), st.integers(-99, 99), WORDS))
def test_a_field_that_says_something_else_is_never_the_same(ours, theirs):
    one, other = folded(ours), folded(theirs)
    assume(one != other)
    if {one[0], other[0]} == {"number", "text"}:
        return  # a number that comes back as text may be the same
    assert not same_content(bytes_of({"a": ours}, 1), bytes_of({"a": theirs}, 1))
    assert not same_content(bytes_of({"x": 1, "a": [{"b": ours}]}, 1), bytes_of({"x": 1, "a": [{"b": theirs}], "c": 2}, 1))


@given(
    DOCUMENTS,
    st.sampled_from(["documentNo", "note", "amount"]),
    st.integers(-99, 99),
    st.integers(-99, 99),
    st.randoms(use_true_random=False),
)
def test_one_other_amount_among_all_the_rest(value, name, ours, theirs, chance):
    assume(ours != theirs)
    sent, found = {**value, name: ours}, {**echoed(value, chance), name: theirs}
    assert not same_content(bytes_of(sent, 1), bytes_of(found, 2))


@pytest.mark.parametrize(
    ("sent", "found", "same"),
    [
        ({"a": 5}, {"a": 5, "b": 1}, True),
        ({"a": 5, "b": 1}, {"a": 5}, False),
        ({"a": 5, "b": ""}, {"a": 5}, True),
        ({"a": 5, "b": None}, {"a": 5, "b": ""}, True),
        ({"a": 5, "b": []}, {"a": 5}, True),
        ({"a": 5, "b": ""}, {"a": 5, "b": "x"}, False),
        ({"a": 5}, {"a": None}, False),
        ({"a": 0}, {}, False),
        ({"a": 0}, {"a": None}, False),
        ({"a": False}, {}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": "NOK"}, {"a": "nok"}, True),
        ({"a": "NOK"}, {"a": " NOK "}, True),
        ({"a": "N OK"}, {"a": "NOK"}, False),
        ({"a": "5"}, {"a": "5.0"}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"a": {"b": 1}}, {"a": [1]}, False),
        ({"a": {"b": 1}}, {"a": 1}, False),
        ({"a": 1}, {"a": {"b": 1}}, False),
        ({"a": "snan"}, {"a": 5}, False),
        ({"a": 5}, {"a": "sNaN"}, False),
        ({"a": "nan"}, {"a": "NaN"}, True),
        ({"a": "inf"}, {"a": 5}, False),
        ({"a": "x"}, {"A": "x"}, False),
        ({}, {}, True),
        ({"a": {}}, {"a": {"b": 1}}, False),
    ],
    ids=repr,
)
def test_by_example(sent, found, same):
    assert same_content(json.dumps(sent).encode(), json.dumps(found).encode()) is same


@pytest.mark.parametrize("odd", [b"", b"[]", b"null", b"5", b"<html>", b'{"a":'])
def test_what_is_no_object_is_never_the_same(odd):
    assert not same_content(b'{"a":1}', odd)
    assert not same_content(odd, b'{"a":1}')


@pytest.mark.parametrize("levels", [300, 900, 2_000, 9_000, 20_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_content_that_is_nested_deep_is_compared_too(opening, levels):
    def nested(value):
        return b'{"a":%b%d%b}' % (opening * levels, value, (b"]" if opening == b"[" else b"}") * levels)

    # Python 3.11 reads less than 1,000 levels: what can't be read is never the same.
    assert same_content(nested(1), nested(1)) is (codec.json_value(nested(1)) is not None)
    assert not same_content(nested(1), nested(2))
