"""Which bytes are taken for Windows-1252: names and places of many encodings, all together and with a single odd letter."""

# ruff: noqa: RUF001 - encodings are about such characters

from __future__ import annotations

import encodings.aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import ConfigurationError
from amili_arm_async.sources.text import LineBlocks, TextDecoder, Transcoder, check_encoding
from amili_arm_async.sources.windows_1252 import evidence_of, likely_encoding

pytestmark = pytest.mark.quick

NAMES = [
    "Tromsø",
    "Bodø",
    "Bjørn",
    "Grønn",
    "Ås",
    "Åse",
    "Ødegård",
    "Kjær",
    "Færder",
    "Ærlig",
    "KJÆR",
    "BODØ",
    "MÅLØY",
    "på",
    "å",
    "Å",
    "Søndre",
    "Ålesund",
    "Østfold",
    "Øystein",
    "ÆØÅ",
    "Sørlandet",
    "André",
    "Müller",
    "MÜLLER",
    "Söderberg",
    "Malmö",
    "Mäkinen",
    "José",
    "Zoë",
    "François",
    "García",
    "Núñez",
    "Renée",
    "Céline",
    "Åkesson",
    "Bård",
    "Mårten",
    "Ødegaard",
    "Nærøy",
    "Hå",
    "Hægebostad",
    "Råde",
    "Røst",
    "ANDRÉ",
    "ål",
    "ære",
    "Kåre",
    "Gjøvik",
    "Værøy",
    "Træna",
]
SIGNS = ["O’Brien", "Peter’s Bar", "100 €", "Oslo – Bergen", "12 m²", "“Kiosken”", "«Kiosken»", "§ 5", "20 °C", "1\xa0234,50", "2 stk à 50"]
NEUTRAL = [
    "Dušan",
    "Žižek",
    "vent…",
    "½ pall",
    "Firma™ AS",
    "© Firma",
    "rock’n’roll",
    "„Ein Haus“",
    "• punkt",
    "N°5",
    "Groß",
    "Mor´s Mat",
    "HavØrn",
]


def lines(words, encoding):
    return [line for word in words if not (line := f"1;{word};Storgata 1".encode(encoding, "ignore")).isascii()]


def decoded(content, known=None):
    decoder = TextDecoder(known)
    decoder.decide(content)
    return [decoder.decode(line) for line in content]


@pytest.mark.parametrize("word", NAMES + SIGNS)
def test_a_single_odd_letter_of_windows_1252_is_enough(word):
    (line,) = lines([word], "cp1252")
    assert decoded([line]) == [f"1;{word};Storgata 1"]


def test_signs_that_say_nothing_are_read_in_a_file_that_is_windows_1252():
    content = lines(NEUTRAL + NAMES, "cp1252")
    assert decoded(content) == [line.decode("cp1252") for line in content]
    assert decoded(lines(NEUTRAL, "cp1252")) == [None] * len(NEUTRAL)


@pytest.mark.parametrize("encoding", ["cp865", "cp850", "cp437", "mac-roman", "cp1257", "cp861"])
def test_no_letter_of_another_encoding_is_taken_for_one_of_windows_1252(encoding):
    content = lines(NAMES, encoding)
    assert len(content) > 30
    told = [(line.decode(encoding), evidence_of(line)) for line in content]
    assert [text for text, evidence in told if evidence == "for" and text != text.encode("cp1252").decode("cp1252")] == []
    assert sum(evidence == "against" for _, evidence in told) > len(told) * 0.8 or encoding == "cp1257"
    if encoding != "cp1257":
        # All together, and each as the only one of its file.
        assert set(decoded(content)) == {None}
        assert {text for line in content for text in decoded([line])} == {None}


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("iso-8859-15", ["100 €", "Dušan", "Žarko", "Šime"]),
        ("cp1250", ["Petrović", "Jiří", "Dvořák"]),
        ("cp1251", ["Иванов", "Анна", "Пётр"]),
        ("koi8-r", ["Иванов", "Анна", "Пётр"]),
        ("cp1253", ["Αθήνα", "Νίκος"]),
        ("shift_jis", ["東京", "大阪市"]),
        ("cp037", ["Oslo Gate"]),
        ("utf-16-le", ["Bjørn"]),
    ],
)
def test_names_of_other_scripts_are_not_read_as_windows_1252(encoding, words):
    for word in words:
        assert decoded([word.encode(encoding)])[0] in {None, "B\0j\0\xf8\0r\0n\0"}


def test_letters_that_two_encodings_share_are_read():
    content = lines(NAMES, "iso-8859-15")
    assert decoded(content) == [line.decode("iso-8859-15") for line in content]


def test_a_line_of_another_encoding_is_refused_also_in_a_file_that_is_windows_1252():
    content = lines(NAMES, "cp1252")
    for other in lines(["Tromsø", "Kjær", "Bård", "Ødegård"], "cp865") + lines(["Tromsø", "Kjær", "Bård", "Ødegård"], "mac-roman"):
        assert decoded([*content, other])[-1] is None


@pytest.mark.parametrize("encoding", ["cp865", "mac-roman"])
def test_an_encoding_that_would_fit_is_proposed(encoding):
    assert [likely_encoding(line) for line in lines(["Tromsø", "Kjær", "Bård"], encoding)] == [encoding] * 3


def test_every_encoding_of_texts_that_python_knows_can_be_named():
    for name in sorted(set(encodings.aliases.aliases.values())):
        try:
            "customerNo".encode(name)
            named = check_encoding(name)
        except (LookupError, ConfigurationError):
            continue
        transcoder = Transcoder(named)
        text = "customerNo;name\n1;A\n"
        content = b"".join(transcoder.feed(text.encode(name)[place : place + 1]) for place in range(len(text.encode(name))))
        assert content + transcoder.feed(b"", final=True) == text.encode()
    for name in ("cp865", "mac-roman", "utf-7", "utf-32", "shift_jis", "cp1140", "windows-1250"):
        assert check_encoding(name)
    for name in ("base64", "rot13", "idna", "punycode", "unicode_escape", "undefined", "ebcdic", "zlib", "a\0b", ""):
        with pytest.raises(ConfigurationError):
            check_encoding(name)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-16-le", "å\n".encode("utf-16-le") + b"\x3d\xd8" + "\nb\n".encode("utf-16-le")),
        ("cp1252", b"\xe5\n\x81\nb\n"),
        ("shift_jis", "ア\n".encode("shift_jis") + b"\x82\nb\n"),
        ("ascii", b"a\n\xff\nb\n"),
        ("utf-32-le", "a\n".encode("utf-32-le") + b"\xff\xff\xff\xff" + "\nb\n".encode("utf-32-le")),
    ],
)
def test_what_is_none_of_the_encoding_that_was_named_costs_its_line_only(encoding, content):
    for step in (1, 3, 1000):
        transcoder = Transcoder(encoding)
        text = b"".join(transcoder.feed(content[place : place + step]) for place in range(0, len(content), step)) + transcoder.feed(
            b"", final=True
        )
        found = decoded(text.split(b"\n")[:-1], encoding)
        assert found[1] is None
        assert found[2:] == ["b"]
        assert found[0] in {"å", "a", "ア"}


@given(st.lists(st.binary(max_size=60).map(lambda part: part.replace(b"x", b"\n")), max_size=20), st.integers(1, 30), st.integers(1, 30))
def test_blocks_hold_all_lines_whole(parts, longest, size):
    splitter = LineBlocks(longest, size)
    blocks = [block for part in parts for block in splitter.feed(part)]
    assert all(block.endswith(b"\n") for block in blocks)
    found = b"".join(blocks) + splitter.end()
    for line, kept in zip(b"".join(parts).split(b"\n"), found.split(b"\n"), strict=True):
        assert line == kept if len(line) <= longest else len(kept) > longest
        assert line.startswith(kept)
