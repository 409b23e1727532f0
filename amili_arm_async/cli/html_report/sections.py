"""The sections of the page about one part of the night: counts, sync, money, timeline. Pure."""

from __future__ import annotations

from typing import Final

from ...bulk.outcomes import STATE_RULES, State
from ...nightly.report import Amount, CurrencyMoney, Money, Part, Sync, Timeline
from .charts import ORDER, bucket_row, latency_chart, state_bar, throughput_chart
from .markup import WHOLE_PAGE, Markup, Scope, bytes_text, duration, element, join, money, number, percent, plural
from .summary import count_fault, money_fault, not_read, summed

__all__ = ["part_section"]

_MOST_CURRENCIES: Final = 20
"""Currencies that have a table."""

_DASH: Final = "\u2013"


def part_section(part: Part, scope: Scope = WHOLE_PAGE, *, dry_run: bool = False) -> Markup:
    """Returns everything about one part.

    Args:
        part: of the report.
        scope: where on the page it stands.
        dry_run: whether nothing was sent.

    Returns:
        A section.
    """
    name = part.name
    rate = f", {number(round(part.read / part.elapsed))} records a second" if part.elapsed > 0 and part.read else ""
    facts = f"{plural(part.read, 'record')} read; {plural(part.batches, 'batch')}, {bytes_text(part.bytes_sent)} in all, would be sent."
    facts = (
        facts
        if dry_run
        else (
            f"{plural(part.read, 'record')} read, {plural(part.batches, 'batch')} in {plural(part.requests, 'request')},"
            f" {bytes_text(part.bytes_sent)} sent in {duration(part.elapsed)}{rate}."
        )
    )
    return element(
        "section",
        scope.heading(name.capitalize(), name=f"{name}-title"),
        element("p", facts, class_="facts"),
        element("p", f"Limited to the first {plural(part.limited_to, 'record')}: nothing beyond was read.") if part.limited_to else "",
        element("p", held) if (held := _held(part)) is not None else "",
        element("p", unread, class_="bad") if (unread := not_read(part)) is not None else "",
        _counts(part),
        _expectation(part),
        _sync(name, part.sync, scope) if part.sync is not None else "",
        _money(name, part.money, scope) if part.money is not None else "",
        _timeline(name, part.timeline, scope) if part.timeline is not None and part.timeline.buckets else "",
        id=scope.id(name),
        aria_labelledby=scope.id(f"{name}-title"),
    )


def _held(part: Part) -> str | None:
    """Says for how long a Retry-After that another process got held this part."""
    return f"Held for {duration(part.held_by_others)}: the service told another process to wait." if part.held_by_others >= 1 else None


# --- states ---------------------------------------------------------------------------------------------------------------


def _counts(part: Part) -> Markup:
    present: list[State] = [state for state in ORDER if part.counts.get(state)]
    if not present:
        return element("p", "No records.", class_="quiet") if not part.read else _check(count_fault(part), "")
    rows = [
        element(
            "tr",
            element("th", element("span", class_=f"swatch s-{state}", aria_hidden="true"), element("b", state), scope="row"),
            element("td", number(part.counts[state]), class_="n"),
            element("td", percent(part.counts[state], sum(part.counts.values())), class_="n"),
            element("td", STATE_RULES[state].meaning, class_="quiet meaning"),
        )
        for state in present
    ]
    heads = [element("th", text, scope="col", class_=kind) for text, kind in (("State", ""), ("Records", "n"), ("Share", "n"))]
    return join(
        state_bar(part.counts, f"{part.name.capitalize()} by state"),
        element(
            "table",
            element("caption", f"How the {part.name} ended"),
            element("thead", element("tr", *heads, element("th", "Meaning", scope="col", class_="meaning"))),
            element("tbody", *rows),
            class_="counts",
        ),
        _check(count_fault(part), f"The states add up to the {plural(part.read, 'record')} read."),
    )


def _check(fault: str | None, good: str) -> Markup:
    if fault is None:
        return element("p", element("span", "\u2713", class_="mark", aria_hidden="true"), good, class_="adds-up good")
    return element("p", element("span", "\u2717", class_="mark", aria_hidden="true"), f"Does not add up: {fault}", class_="adds-up bad")


def _expectation(part: Part) -> Markup | str:
    """Returns whether the source held what was expected; empty where nothing was expected."""
    if part.expectation is None or (not part.expectation.expected and part.shortfall is None):
        return ""
    of, what = part.expectation, "of the known customers" if part.expectation.at_least.endswith("%") else "records"
    if part.shortfall is not None:
        return element(
            "p", element("span", "\u2717", class_="mark", aria_hidden="true"), f"Too few: {part.shortfall}.", class_="adds-up bad"
        )
    return element("p", f"{number(of.found)} {what} in the source; at least {number(of.expected)} were expected.", class_="quiet")


def _sync(name: str, sync: Sync, scope: Scope) -> Markup:
    figures = (
        ("new", sync.new, "not sent before"),
        ("changed", sync.changed, "sent again, whole"),
        ("unchanged", sync.unchanged, "not sent"),
        ("failed", sync.failed, "new or changed, and failed"),
        ("gone", sync.gone, "no longer in the source; not deleted"),
    )
    items = [
        element("div", element("dt", word), element("dd", element("b", number(count)), element("span", what, class_="quiet")))
        for word, count, what in figures
        if count is not None
    ]
    return join(scope.heading("Compared with the last sync", name=f"{name}-sync", below=1), element("dl", *items, class_="figures"))


# --- money ----------------------------------------------------------------------------------------------------------------


def _money(name: str, of: Money, scope: Scope) -> Markup:
    notes = [
        f"{plural(count, 'document')} {words}"
        for count, words in (
            (of.without_total, "without a total: counted, but in no sum"),
            (of.without_currency, "without a currency"),
            (of.made_from_lines, "whose total is the sum of their lines"),
        )
        if count
    ]
    # Its figures add up, but the run says that they do not: it knows more than is shown.
    contradicts = not of.adds_up and not any(map(money_fault, of.currencies))
    tables = [_currency(currency) for currency in of.currencies[:_MOST_CURRENCIES]]
    if (more := len(of.currencies) - len(tables)) > 0:
        notes.append(f"{number(more)} further currencies, which the report in JSON has")
    return join(
        scope.heading("Money", name=f"{name}-money", below=1),
        element("div", *tables, class_="currencies") if tables else element("p", "No money was read.", class_="quiet"),
        element("ul", *(element("li", note) for note in notes), class_="quiet notes") if notes else "",
        _check("the run itself says so.", "") if contradicts else "",
    )


def _currency(of: CurrencyMoney) -> Markup:
    name = of.currency if of.currency is not None else "No currency"
    shown: list[State] = [
        state for state in ORDER if state in of.states and (of.states[state].count or state in {"succeeded", "failed", "unknown"})
    ]
    rows = [_amount("read", of.read, "whole")]
    rows += [_amount(state, of.states[state], f"s-{state}") for state in shown]
    rows.append(_amount("all states", summed(list(of.states.values())), "sum"))
    fault = money_fault(of)
    heads = [element("th", text, scope="col", class_="n" if place else None) for place, text in enumerate(("", "Documents", "Total"))]
    heads[0] = element("td")
    return element(
        "div",
        element(
            "table",
            element("caption", name),
            element("thead", element("tr", *heads)),
            element("tbody", *rows),
        ),
        _check(fault, "Adds up, to the last digit."),
        class_="currency" if fault is None else "currency broken",
    )


def _amount(word: str, amount: Amount, kind: str) -> Markup:
    total = money(amount.total) if amount.total is not None else _DASH
    mark = element("span", class_=f"swatch {kind}", aria_hidden="true") if kind.startswith("s-") else ""
    return element(
        "tr",
        element("th", mark, word, scope="row"),
        element("td", number(amount.count), class_="n"),
        element("td", total, class_="n"),
        class_=kind if not mark else None,
    )


# --- over time ------------------------------------------------------------------------------------------------------------


def _timeline(name: str, timeline: Timeline, scope: Scope) -> Markup:
    title = name.capitalize()
    heads = ("From", "Settled", "Failed", "Accepted", "Median", "p95")
    head = element("tr", *(element("th", text, scope="col") for text in heads))
    rows = [bucket_row(place, timeline.seconds, bucket) for place, bucket in enumerate(timeline.buckets)]
    table = element(
        "table",
        element("caption", f"Every {duration(timeline.seconds)}"),
        element("thead", head),
        element("tbody", *rows),
        class_="buckets",
    )
    latency = latency_chart(timeline, title)
    return join(
        scope.heading("Over time", name=f"{name}-time", below=1),
        element(
            "div",
            _figure("Records settled, per second", (("success", "succeeded"), ("failure", "failed")), throughput_chart(timeline, title)),
            _figure("Until a batch was accepted", (("p50", "median"), ("p95", "95th percentile")), latency) if latency else "",
            class_="charts",
        ),
        element(
            "details",
            element("summary", "As numbers"),
            element("div", table, class_="scroll", tabindex=0, role="region", aria_label=f"{title} over time, as numbers"),
            class_="numbers",
        ),
    )


def _figure(title: str, legend: tuple[tuple[str, str], ...], drawing: Markup) -> Markup:
    keys = [element("span", element("i", class_=f"key {kind}", aria_hidden="true"), word) for kind, word in legend]
    return element("figure", element("figcaption", element("b", title), element("span", *keys, class_="legend")), drawing)
