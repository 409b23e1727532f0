"""Renders the report as one self-contained HTML page. Pure."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, tzinfo

from ... import __version__
from ...nightly.report import Part, ReportSchema
from .failures import command_block, failures_section, money_at_risk
from .markup import WHOLE_PAGE, Markup, Scope, bytes_text, clock_text, duration, element, identifier, join, number
from .sections import part_section
from .style import SCRIPT, STYLE
from .summary import Tone, failed_records, faults, next_steps, verdict

__all__ = ["alarm", "mark_of", "page_of", "render_page", "report_sections"]


def render_page(document: ReportSchema, zone: tzinfo | None = None) -> str:
    """Renders the page.

    Args:
        document: the report.
        zone: time zone of the times; None is that of this machine.

    Returns:
        HTML that loads nothing from elsewhere.
    """
    tone, sentence = verdict(document)
    day = document.started.astimezone(zone)
    title = f"{sentence.rstrip('.')} ({day:%Y-%m-%d})"
    return page_of(title, _head(document, zone, tone, sentence), report_sections(document, zone))


def page_of(title: str, head: list[Markup], content: list[Markup]) -> str:
    """Renders a page around its content.

    Args:
        title: of the page.
        head: what it opens with.
        content: its sections.

    Returns:
        HTML that loads nothing from elsewhere.
    """
    body = element(
        "body",
        element("a", "To the details", href="#details", class_="skip"),
        element("header", *head),
        element("main", *content, id="details"),
        element("footer", f"Made by amili-arm {__version__}. It contains no personal data except customer and document numbers."),
        element("script", Markup(SCRIPT)),
    )
    return "<!DOCTYPE html>\n" + element("html", element("head", *_meta(title)), body, lang="en") + "\n"


def report_sections(document: ReportSchema, zone: tzinfo | None, scope: Scope = WHOLE_PAGE) -> list[Markup]:
    """Renders what a report says below its verdict.

    Args:
        document: the report.
        zone: time zone of the times; None is that of this machine.
        scope: where on the page it stands.

    Returns:
        The sections.
    """
    parts = [_overview(part, scope, dry_run=document.dry_run) for part in document.parts]
    return [
        money_at_risk(document, scope),
        _steps(document, zone, scope),
        element("nav", *parts, aria_label=f"Parts of client {document.client_no}" if scope.prefix else "Parts") if parts else Markup(""),
        failures_section(document, scope),
        *(part_section(part, scope, dry_run=document.dry_run) for part in document.parts),
        _facts(document, zone, scope),
    ]


def _meta(title: str) -> list[Markup]:
    # Whatever a key contains: nothing is loaded or sent, and nothing but the script below runs.
    policy = (
        f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    return [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", title),
        # Otherwise a browser requests one.
        element("link", rel="icon", href="data:,"),
        element("style", Markup(STYLE)),
    ]


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _head(document: ReportSchema, zone: tzinfo | None, tone: Tone, sentence: str) -> list[Markup]:
    when = element("time", clock_text(document.started, zone), datetime=document.started.isoformat())
    return [
        element("p", "Accounts receivable \u00b7 client ", str(document.client_no), " \u00b7 ", when, class_="kicker"),
        element("h1", mark_of(tone), sentence, class_=tone),
        alarm(document),
    ]


def mark_of(tone: Tone) -> Markup:
    """Returns the sign before a verdict.

    Args:
        tone: of the verdict.

    Returns:
        The sign, which screen readers leave out.
    """
    return element("span", {"good": "\u2713", "bad": "\u2717", "uncertain": "?"}[tone], class_="mark", aria_hidden="true")


def alarm(document: ReportSchema, scope: Scope = WHOLE_PAGE) -> Markup:
    """Returns the sums that do not add up.

    Args:
        document: the report.
        scope: where on the page it stands.

    Returns:
        A box; empty where all sums add up.
    """
    wrong = [element("li", fault) for fault in faults(document)]
    return element("div", scope.heading("Sums that do not add up"), element("ul", *wrong), class_="alarm") if wrong else Markup("")


def _steps(document: ReportSchema, zone: tzinfo | None, scope: Scope) -> Markup:
    steps = next_steps(document, zone)
    if not steps:
        return Markup("")
    items = [element("li", step.text, *map(command_block, step.commands)) for step in steps]
    where = "Run the commands on the same machine, as the same user, with the same AMILI_ARM_ variables."
    return element(
        "section",
        scope.heading("What to do now", name="steps-title"),
        element("ol", *items),
        element("p", where, class_="quiet") if document.commands else "",
        class_="steps",
        aria_labelledby=scope.id("steps-title"),
    )


def _overview(part: Part, scope: Scope, *, dry_run: bool) -> Markup:
    """Returns a part in three lines, with a link to it."""
    failed = failed_records(part)
    good = part.counts.get("would_be_sent", 0) if dry_run else sum(part.counts.values()) - failed
    done, not_done = ("would be sent", "would not") if dry_run else ("succeeded", "did not succeed")
    result = element("span", f"{number(failed)} {not_done}", class_="bad") if failed else element("span", "none failed", class_="good")
    if dry_run and not failed:
        result = element("span", "the others need not be" if good < part.read else "that is all of them", class_="good")
    return element(
        "a",
        element("span", part.name.capitalize(), class_="name"),
        element("b", number(good)),
        element("span", f"of {number(part.read)} {done}"),
        result,
        href=f"#{scope.id(part.name)}",
    )


def _facts(document: ReportSchema, zone: tzinfo | None, scope: Scope) -> Markup:
    def moment(instant: datetime | None) -> Markup:
        if instant is None:
            return Markup("not ended")
        return element("time", clock_text(instant, zone), datetime=instant.isoformat())

    facts: list[tuple[str, str]] = [
        ("Started", moment(document.started)),
        ("Ended", moment(document.ended)),
        ("Duration", duration(document.elapsed)),
        ("Address", identifier(document.base_url)),
        ("Client number", str(document.client_no)),
        ("Run id", identifier(document.run_id) if document.run_id is not None else "none"),
        ("Operations", join(*(element("div", identifier(part.operation)) for part in document.parts)) or "none"),
        ("Requests", number(sum(part.requests for part in document.parts))),
        ("To be sent" if document.dry_run else "Sent", bytes_text(sum(part.bytes_sent for part in document.parts))),
    ]
    if document.error is not None:
        facts.append(("Ended by", element("span", "an interruption" if document.interrupted else document.error, class_="bad")))
    rows = [element("div", element("dt", word), element("dd", value)) for word, value in facts]
    title = scope.heading("The run", name="run-title")
    return element("section", title, element("dl", *rows, class_="run"), aria_labelledby=scope.id("run-title"))
