"""The top of the page: money at risk, the failures with place, reason and command. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ...bulk.reasons import explain, says_more
from ...nightly.report import AtRisk, Part, Reason, ReportSchema
from ..wording import in_options
from .markup import WHOLE_PAGE, Markup, Scope, element, identifier, join, money, number, plural
from .summary import summed_at_risk

__all__ = ["command_block", "failures_section", "money_at_risk", "risk_section"]

_OPEN: Final = 3
"""Groups of failures that are open at first."""

_MOST_ROWS: Final = 60
"""Rows of money at risk."""

_LONGEST_WORD: Final = 24
_NAMED_LINES: Final = 3
_LONGEST_KEY: Final = 120

_DASH: Final = "\u2013"


def command_block(command: str) -> Markup:
    """Returns a command, ready to copy.

    Args:
        command: the command line.

    Returns:
        The command, with a button that copies it.
    """
    return element(
        "div",
        element("pre", element("code", *_words(command)), tabindex=0),
        element("button", "Copy", type="button", class_="copy", hidden=True),
        class_="command",
    )


def _words(command: str) -> Iterator[str]:
    """Yields a command in pieces, so that a line does not end within an option."""
    for place, word in enumerate(command.split(" ")):
        yield " " if place else ""
        yield element("span", word, class_="word") if len(word) <= _LONGEST_WORD else word


# --- money at risk --------------------------------------------------------------------------------------------------------


def money_at_risk(document: ReportSchema, scope: Scope = WHOLE_PAGE) -> Markup:
    """Returns the money of the documents that did not succeed, by currency and state.

    Args:
        document: the report.
        scope: where on the page it stands.

    Returns:
        A section; empty where no documents were read.
    """
    has_money = any(part.money is not None for part in document.parts)
    return risk_section(document.money_at_risk, scope) if has_money else Markup("")


def risk_section(amounts: list[AtRisk], scope: Scope = WHOLE_PAGE) -> Markup:
    """Returns the money at risk as a table.

    Args:
        amounts: by currency and state.
        scope: where on the page it stands.

    Returns:
        A section.
    """
    title = scope.heading("Money at risk", name="risk-title")
    section = {"id": scope.id("risk"), "aria_labelledby": scope.id("risk-title")}
    if not amounts:
        good = element("span", "\u2713", class_="mark", aria_hidden="true")
        text = element("p", good, "None: no document failed, and none is in doubt.", class_="adds-up good")
        return element("section", title, text, **section)
    rows = [_risk(one) for one in amounts[:_MOST_ROWS]]
    # Of the currencies with several states.
    several = Counter(one.currency or "none" for one in amounts)
    totals = [
        element("tr", element("th", "Total", scope="row"), element("td", name), *_sums(count, total), class_="sum")
        for name, count, total in summed_at_risk(amounts)[:_MOST_ROWS]
        if several[name] > 1
    ]
    heads = [("State", None), ("Currency", None), ("Documents", "n"), ("Total", "n")]
    table = element(
        "table",
        element("caption", "Documents that did not succeed, or are in doubt"),
        element("thead", element("tr", *(element("th", text, scope="col", class_=kind) for text, kind in heads))),
        element("tbody", *rows),
        element("tfoot", *totals) if totals else "",
        class_="risk",
    )
    more = len(amounts) - len(rows)
    note = element("p", f"{number(more)} further rows are in the report in JSON.", class_="quiet") if more > 0 else ""
    return element("section", title, table, note, **section)


def _risk(of: AtRisk) -> Markup:
    return element(
        "tr",
        element("th", element("span", class_=f"swatch s-{of.state}", aria_hidden="true"), of.state.replace("_", " "), scope="row"),
        element("td", of.currency if of.currency is not None else "none"),
        *_sums(of.count, of.total),
    )


def _sums(count: int, total: str | None) -> list[Markup]:
    return [element("td", number(count), class_="n"), element("td", money(total) if total is not None else _DASH, class_="n")]


# --- failures -------------------------------------------------------------------------------------------------------------


def failures_section(document: ReportSchema, scope: Scope = WHOLE_PAGE) -> Markup:
    """Returns the failures of all parts, grouped by reason, each with the command that settles it.

    Args:
        document: the report.
        scope: where on the page it stands.

    Returns:
        A section; empty where nothing failed.
    """
    parts = [part for part in document.parts if part.reasons]
    if not parts:
        return Markup("")
    return element(
        "section",
        scope.heading("Failures", name="failures-title"),
        *(_failures(part, document.files.get(part.name), scope) for part in parts),
        id=scope.id("failures"),
        aria_labelledby=scope.id("failures-title"),
    )


def _failures(part: Part, file: str | None, scope: Scope) -> Markup:
    named = sum(reason.count for reason in part.reasons)
    groups = [_group(reason, part, file, is_open=place < _OPEN) for place, reason in enumerate(part.reasons)]
    where = join("All of them are listed in ", identifier(part.failures_file), ".") if part.failures_file is not None else ""
    source = join(" of ", identifier(file)) if file is not None else ""
    return join(
        scope.heading(part.name.capitalize(), name=f"{part.name}-failures", below=1),
        element("p", plural(named, "record"), source, ", by reason. ", where, class_="quiet"),
        *groups,
    )


def _group(of: Reason, part: Part, file: str | None, *, is_open: bool) -> Markup:
    words = explain(of.state, of.reason, part.name, of.cause)
    code = "/".join(filter(None, (of.reason, of.cause)))
    return element(
        "details",
        element(
            "summary",
            element("b", number(of.count), class_="n"),
            element("span", of.state.replace("_", " "), class_=f"chip s-{of.state}"),
            element("span", words.meaning, class_="meaning"),
            identifier(code) if code else "",
        ),
        element("p", in_options(words.remedy), class_="remedy"),
        _settle(of, file),
        _examples(of, file) if of.examples else "",
        open=is_open,
        class_="group",
    )


def _settle(of: Reason, file: str | None) -> Markup:
    """Returns the command, and before it what is fixed by hand."""
    if of.command is None:
        return Markup("")
    lines = [number(example.line) for example in of.examples[:_NAMED_LINES] if example.line is not None]
    if of.needs_fix and lines:
        more = f" and {number(of.count - len(lines))} more" if of.count > len(lines) else ""
        before = join(
            f"Fix line{'s' if of.count > 1 else ''} {', '.join(lines)}{more} of ",
            identifier(file) if file is not None else "the source",
            ", then run:",
        )
    else:
        before = Markup("Fix the cause, then run:" if of.needs_fix else "This settles them:")
    return join(element("p", before), command_block(of.command))


def _examples(of: Reason, file: str | None) -> Markup:
    messages = {example.message for example in of.examples if example.message and says_more(of.state, of.reason)}
    # What is said of all of them is said once.
    explained = len(messages) > 1 or any(not example.message for example in of.examples if messages)
    for_all = element("p", element("bdi", min(messages)), class_="why") if messages and not explained else ""
    place = "Row" if file is not None and file.endswith(".parquet") else "Line"
    rows = [
        element(
            "tr",
            element("td", number(example.line) if example.line is not None else f"record {number(example.index + 1)}", class_="n"),
            element("td", _key(example.key)),
            element("td", element("bdi", example.message or ""), class_="why") if explained else "",
        )
        for example in of.examples
    ]
    names = (place, "Number", "Why") if explained else (place, "Number")
    heads = [element("th", text, scope="col", class_="n" if text == place else None) for text in names]
    caption = "All of them" if len(of.examples) >= of.count else f"The first {number(len(of.examples))} of {number(of.count)}"
    head, body = element("thead", element("tr", *heads)), element("tbody", *rows)
    return join(for_all, element("table", element("caption", caption), head, body))


def _key(key: str | None) -> Markup:
    if key is None:
        return element("span", "without number", class_="quiet")
    return identifier(key if len(key) <= _LONGEST_KEY else key[: _LONGEST_KEY - 1] + "\u2026")
