"""The page without a browser: well formed, nothing unescaped, right sentences and sums, remedies, colours."""

from __future__ import annotations

import re
from datetime import timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.bulk.outcomes import STATES
from amili_arm_async.cli.html_report.markup import bytes_text, duration, money, number, percent, plural
from amili_arm_async.cli.html_report.page import render_page
from amili_arm_async.cli.html_report.style import SCRIPT, STYLE

from ..support import report_samples as samples
from ..support.report_samples import amount, counts, document, part, reason

OSLO = timezone(timedelta(hours=1))
VOID = {"meta", "link"}


class Page(HTMLParser):
    """Reads a page, and insists that what is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html, self.open, self.tags, self.ids, self.links = html, [], [], [], []
        self.texts: list[str] = []
        self.headings: list[int] = []
        self.feed(html)
        self.close()
        assert self.open == []
        assert len(set(self.ids)) == len(self.ids)
        assert {link[1:] for link in self.links if link.startswith("#")} <= set(self.ids)
        assert all(later - before <= 1 for before, later in zip(self.headings, self.headings[1:], strict=False))
        self.text = " ".join("".join(self.texts).replace("\u202f", " ").split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, attrs))
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name == "href"]
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.texts.append(data if self.open[-1] in {"code", "bdi", "b", "span", "i"} else f" {data} ")


def page(value: dict[str, Any]) -> Page:
    return Page(render_page(samples.read(value), OSLO))


def heading(value: dict[str, Any]) -> str:
    html = render_page(samples.read(value), OSLO)
    return re.sub("<[^>]*>", "", html[html.index("<h1") : html.index("</h1>")]).replace("\u202f", " ").lstrip("\u2713\u2717?")


def test_a_night_with_trouble() -> None:
    text = page(samples.troubled()).text
    for said in (
        "1 212 of 400 000 records did not succeed.",
        "Reconcile before sending again: it is not known whether the server accepted 1 000 documents",
        "21 November 2026, 02:00:03 +01:00",
        "123 907 500.740",
        "\u22124 312.125",
        "The states add up to the 300 000 records read.",
        "Adds up, to the last digit.",
        "412 documents whose total is the sum of their lines",
        "no longer in the source; not deleted",
        "The first 8 of 1 000",
        "Total NOK 1 136 1 420 000.240",
        "Fix lines 100, 101, 102 and 6 more of",
        "cd '/srv/a r m' && amili-arm nightly --customers customers.csv",
        "A document is looked up 1 h 6 min after it was sent, because it may still appear until then (--settle): before 03:13 the command",
        "the server answered 502, which does not show whether it was accepted",
        "All of them are listed in failures.csv",
    ):
        assert said in text
    assert "not add up" not in text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (samples.quiet(), "All 3 000 records succeeded."),
        (document(part(read=0)), "There was nothing to send."),
        (document(), "There was nothing to send."),
        (document(part(read=1)), "The one record succeeded."),
        (
            document(part(read=3, counts=counts(accepted=2, succeeded=1), results_awaited=False)),
            "All 3 records were accepted; the run did not wait for the results of 2.",
        ),
        (
            document(part(read=3, counts=counts(accepted=2, succeeded=1), reasons=[reason("accepted", "deadline", 2, [])]), ok=False),
            "2 of 3 records did not succeed.",
        ),
        (
            document(
                part(read=3, counts=counts(accepted=3), results_awaited=False), part("documents", 1, counts=counts(failed=1)), ok=False
            ),
            "1 of 4 records did not succeed.",
        ),
        (document(part(read=3), ended=None), "This was written before the run ended: 3 records so far."),
        (document(part(read=3), ok=False, error="refused"), "The run ended early: 3 records read until then."),
        (
            document(part(read=3), ok=False, error="it was interrupted", interrupted=True),
            "The run was interrupted: 3 records read until then.",
        ),
        (document(part(read=3), ok=False), "Every record succeeded, but the run reports a problem."),
        (document(part(read=3, counts=counts(succeeded=2))), "Every record succeeded, but the sums do not add up."),
    ],
)
def test_the_verdict(value, said) -> None:
    assert heading(value) == said


def test_without_a_run_id_nobody_is_told_to_send_all_documents_again() -> None:
    failed = counts(not_sent=1, succeeded=1)
    assert "with the same run id, 2026-11-21: what succeeded" in page(document(part("documents", 2, counts=failed), ok=False)).text
    text = page(document(part("documents", 2, counts=failed), ok=False, run_id=None)).text
    assert "only the documents that did not succeed" in text
    assert "run the same job again" not in text
    assert "updated, not duplicated" in page(document(part(read=2, counts=failed), ok=False, run_id=None)).text


def test_without_a_journal_the_dead_letter_is_what_looks_documents_up() -> None:
    replay = {"does": "replay", "command": "amili-arm replay failed.jsonl", "settles": "documents"}
    lost = part("documents", 1, counts=counts(unknown=1), reasons=[reason("unknown", "502", 1, ["1"])])
    text = page(document(lost, ok=False, run_id=None, commands=[replay])).text
    assert "Replay the dead letter before anything is sent again: it looks up 1 document of which" in text
    assert "amili-arm replay failed.jsonl" in text
    assert "Reconcile before sending again" not in text


def of_money(states: dict[str, Any], **more: Any) -> dict[str, Any]:
    sums = {"currency": "NOK", "read": amount(2, "0.30"), "states": states}
    money = {"currencies": [sums], "without_total": 0, "without_currency": 0, "made_from_lines": 0, "adds_up": True, **more}
    return document(part("documents", 2, money=money))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (of_money({"succeeded": amount(1, "0.10"), "unknown": amount(1, "0.19")}), "0.01 missing from the final states."),
        (of_money({"succeeded": amount(2, "0.3000000000000000000000000000000001")}), "0.0000000000000000000000000000000001 too much in"),
        (of_money({"succeeded": amount(1, "0.3")}), "2 documents read, but 1 have a final state."),
        (of_money({"succeeded": amount(2, "0.3")}, adds_up=False), "the run itself reports that its money does not add up."),
        (document(part(read=3, counts=counts(succeeded=2))), "3 read, but 2 have a final state."),
    ],
)
def test_sums_that_do_not_add_up_are_told_at_the_top(value, said) -> None:
    made = page(value)
    assert said in made.text
    assert "Sums that do not add up" in made.text
    assert "Does not add up" in made.text
    assert "do not add up" in heading(value)


def test_money_that_adds_up_only_exactly() -> None:
    made = page(of_money({"succeeded": amount(1, "0.1"), "failed": amount(1, "0.2")}))
    assert "Adds up, to the last digit." in made.text
    assert "not add up" not in made.text


def test_sizes_of_all_kinds() -> None:
    reasons = [reason("rejected", f"r{at}", 50 - at, ["k"] * 10) for at in range(50)]
    timeline = {"seconds": 18.0, "buckets": samples.buckets(200, 60_000)}
    many = part("documents", 10_000_000, counts=counts(succeeded=9_999_999, failed=1), reasons=reasons, timeline=timeline, elapsed=3600.0)
    made = page(document(many, ok=False))
    assert "1 of 10 000 000 records did not succeed." in made.text
    assert "> 99.9 %" in made.text
    assert "< 0.1 %" in made.text
    assert sum(tag == "details" for tag, _ in made.tags) == 51
    assert sum(("open", "open") in attrs or ("open", None) in attrs for tag, attrs in made.tags if tag == "details") == 3
    assert len(made.html) < 1_000_000
    numbers = [value for tag, attrs in made.tags if tag == "rect" for name, value in attrs if name in {"x", "y", "width", "height"}]
    assert all(float(value) >= 0 for value in numbers)


def test_the_page_stays_small_whatever_the_report_holds() -> None:
    value = samples.troubled()
    for one in value["parts"]:
        one["reasons"] = [reason("rejected", f"r{at}", 200_000, ["k" * 100_000] * 10) for at in range(50)]
    value["money_at_risk"] *= 5000
    value["parts"][1]["money"]["currencies"] *= 5000
    assert len(render_page(samples.read(value), OSLO)) < 2_000_000


@pytest.mark.parametrize(
    "bucket", [{"settled": 0, "latency_ms": None}, {"settled": 0, "latency_ms": [0, 0]}, {"settled": 1, "latency_ms": [5000, 1e9]}]
)
@pytest.mark.parametrize("number_of", [1, 2, 7])
def test_odd_timelines(bucket, number_of) -> None:
    timeline = {"seconds": 0.5, "buckets": [{"failed": 3, "accepted": 0, **bucket}] * number_of}
    made = page(document(part(read=1, timeline=timeline)))
    assert ("Until a batch was accepted" in made.text) == (bucket["latency_ms"] is not None)


ANY = st.text(max_size=40) | st.sampled_from(samples.HOSTILE)


@given(ANY, ANY, ANY, ANY)
def test_no_text_becomes_markup(key, code, error, address) -> None:
    value = samples.troubled()
    for of in value["parts"]:
        of["timeline"] = None
    command = key.replace(" ", "") or "x"
    value["parts"][0]["reasons"][0]["command"] = "x" * len(command)
    plain = page({**value, "error": "x", "base_url": "x", "run_id": "x"})
    value["parts"][0]["reasons"][0]["examples"][0]["key"] = key
    value["parts"][0]["reasons"][0]["reason"] = code or "x"
    value["parts"][0]["reasons"][0]["command"] = command
    value["parts"][0]["failures_file"] = key
    value["files"] = {"customers": address, "documents": address}
    value["parts"][1]["money"]["currencies"][0]["currency"] = code
    value |= {"error": error, "base_url": address, "run_id": address}
    made = page(value)
    assert [tag for tag, _ in made.tags] == [tag for tag, _ in plain.tags]
    assert [[name for name, _ in attrs] for _, attrs in made.tags] == [[name for name, _ in attrs] for _, attrs in plain.tags]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", made.html)
    made.html.encode()


def test_a_half_surrogate_can_be_written() -> None:
    made = samples.read(document(part(reasons=[reason("failed", "", 1, ["PLACEHOLDER"])])))
    example = msgspec.structs.replace(made.parts[0].reasons[0].examples[0], key="a\ud800")
    group = msgspec.structs.replace(made.parts[0].reasons[0], examples=[example])
    whole = msgspec.structs.replace(made, parts=[msgspec.structs.replace(made.parts[0], reasons=[group])])
    assert "a\ufffd" in render_page(whole).encode().decode()


def test_nothing_is_loaded_and_only_our_script_may_run() -> None:
    made = page(samples.troubled())
    assert {name for tag, attrs in made.tags for name, _ in attrs} & {"src", "style", "onclick", "onload", "action", "srcset"} == set()
    assert {link for link in made.links if not link.startswith("#")} == {"data:,"}
    assert sum(tag == "script" for tag, _ in made.tags) == 1
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "</" not in STYLE + SCRIPT
    [policy] = [dict(attrs)["content"] for tag, attrs in made.tags if dict(attrs).get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_tables_have_captions_and_drawings_have_words() -> None:
    tags = [tag for tag, _ in page(samples.troubled()).tags]
    assert tags.count("caption") == tags.count("table") > 5
    assert all("aria-label" in dict(attrs) for tag, attrs in page(samples.troubled()).tags if tag == "svg")


# --- words and colours ----------------------------------------------------------------------------------------------------


def spaced(text: str) -> str:
    return text.replace("\u202f", " ")


def test_numbers_as_the_page_writes_them() -> None:
    assert [spaced(number(value)) for value in (0, 999, 1000, 10_000_000)] == ["0", "999", "1 000", "10 000 000"]
    assert [spaced(money(text)) for text in ("0", "-0.5", "1234.5", "0001234567.12345")] == [
        "0.00",
        "\u22120.50",
        "1 234.50",
        "1 234 567.12345",
    ]
    assert [spaced(percent(*pair)) for pair in ((0, 0), (1, 3), (1, 10**7), (10**7 - 1, 10**7), (3, 3))] == [
        "0 %",
        "33.3 %",
        "< 0.1 %",
        "> 99.9 %",
        "100 %",
    ]
    assert [spaced(duration(value)) for value in (0, 0.25, 41.24, 59.96, 61, 3661, 90_000)] == [
        "0 s",
        "0.25 s",
        "41.2 s",
        "60 s",
        "1 min 1 s",
        "1 h 1 min",
        "25 h 0 min",
    ]
    assert [spaced(bytes_text(value)) for value in (0, 999, 1500, 131_072_000)] == ["0 bytes", "999 bytes", "1.5 kB", "131.0 MB"]
    assert [spaced(plural(*pair)) for pair in ((1, "record"), (2, "batch"), (0, "request"))] == ["1 record", "2 batches", "0 requests"]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read_and_states_seen(theme) -> None:
    before, _, after = STYLE.partition("prefers-color-scheme: dark")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", before if theme == "light" else after))
    for ground in ("paper", "tint"):
        for text in ("ink", "quiet", "good", "bad", "link"):
            if ground == "paper" or text in {"ink", "bad"}:
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    # What succeeded without being sent may stay in the background; its number is beside it.
    for state in set(STATES) - {"unchanged", "done_before"}:
        assert contrast(colours.get(state, colours["not_sent"]), colours["paper"]) >= 3, state
