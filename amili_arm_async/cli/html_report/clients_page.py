"""Renders the report over several client numbers as one HTML page: a table of all, and a section for each. Pure."""

from __future__ import annotations

from datetime import tzinfo

from ...nightly.clients_report import ClientResult, ClientsReport
from .failures import risk_section
from .markup import Markup, Scope, clock_text, element, join, money, number, plural
from .page import alarm, mark_of, page_of, report_sections
from .summary import Tone, failed_records, summed_at_risk, verdict

__all__ = ["client_verdict", "clients_verdict", "render_clients_page", "worst_first"]

_INTERRUPTED = 128
"""An exit code above this is that of a signal."""


def worst_first(document: ClientsReport) -> list[ClientResult]:
    """Returns the client numbers in the order in which a person looks at them.

    Args:
        document: the report.

    Returns:
        What failed, then what was not begun, interrupted or not started, then what succeeded; most failed records first.
    """

    def place(client: ClientResult) -> tuple[int, int]:
        code = client.exit_code
        rank = 3 if code is None else 4 if client.ok else 2 if code > _INTERRUPTED else 1 if code == 2 else 0
        return rank, -sum(failed_records(part) for part in client.report.parts) if client.report is not None else 0

    return sorted(document.clients, key=place)


def clients_verdict(document: ClientsReport) -> tuple[Tone, str]:
    """Sums the report over all up.

    Args:
        document: the report.

    Returns:
        Whether it is good, and one sentence.
    """
    reports = [client.report for client in document.clients if client.report is not None]
    begin = "Dry run, nothing was sent. " if any(report.dry_run for report in reports) else ""
    all_of = plural(len(document.clients), "client number")
    failed = sum(client.exit_code is not None and not client.ok for client in document.clients)
    if document.ended is None:
        done = sum(client.exit_code is not None for client in document.clients)
        wrong = f", and {number(failed)} did not succeed" if failed else ""
        return "bad" if failed else "uncertain", f"{begin}This was written before the run ended: {number(done)} of {all_of} so far{wrong}."
    left = len(document.not_started)
    if failed:
        rest = f", and {number(left)} {'was' if left == 1 else 'were'} not started" if left else ""
        return "bad", f"{begin}{number(failed)} of {all_of} did not succeed{rest}."
    if left:
        return "bad", f"{begin}{number(left)} of {all_of} {'was' if left == 1 else 'were'} not started."
    read = sum(part.read for report in reports for part in report.parts)
    if len(document.clients) == 1:
        return "good", f"{begin}The one client number succeeded: {plural(read, 'record')}."
    return "good", f"{begin}All {all_of} succeeded: {plural(read, 'record')}."


def client_verdict(client: ClientResult, *, is_over: bool) -> tuple[Tone, str]:
    """Sums up how the run of one client number ended.

    Args:
        client: its result.
        is_over: whether the night had ended when the report was written.

    Returns:
        Whether it is good, and one sentence.
    """
    if client.exit_code is None:
        return "uncertain", "It was not started." if is_over else "Not known: this was written before its run ended."
    if client.report is None:
        return "bad", f"Nothing was sent: {client.error.rstrip('.')}." if client.error is not None else "Nothing was sent."
    tone, sentence = verdict(client.report)
    if client.exit_code > _INTERRUPTED:
        return "bad", f"It was interrupted. {sentence}"
    if client.ok or tone != "good":
        return tone, sentence
    return "bad", f"{sentence} But it ended with exit code {client.exit_code}{': ' + client.error if client.error is not None else ''}."


def render_clients_page(document: ClientsReport, zone: tzinfo | None = None) -> str:
    """Renders the page.

    Args:
        document: the report.
        zone: time zone of the times; None is that of this machine.

    Returns:
        HTML that loads nothing from elsewhere.
    """
    tone, sentence = clients_verdict(document)
    when = element("time", clock_text(document.started, zone), datetime=document.started.isoformat())
    all_of = plural(len(document.clients), "client number")
    head = [
        element("p", f"Accounts receivable \u00b7 {all_of} \u00b7 ", when, class_="kicker"),
        element("h1", mark_of(tone), sentence, class_=tone),
    ]
    clients = worst_first(document)
    has_money = any(part.money is not None for one in clients if one.report is not None for part in one.report.parts)
    content = [
        risk_section(document.money_at_risk) if has_money else Markup(""),
        _table(clients, is_over=document.ended is not None),
        *(_client(client, zone, is_over=document.ended is not None) for client in clients),
    ]
    return page_of(f"{sentence.rstrip('.')} ({document.started.astimezone(zone):%Y-%m-%d})", head, content)


def _id(client: ClientResult) -> str:
    return f"client-{client.client_no}"


def _table(clients: list[ClientResult], *, is_over: bool) -> Markup:
    rows = []
    for client in clients:
        tone, sentence = client_verdict(client, is_over=is_over)
        sums = summed_at_risk(client.report.money_at_risk) if client.report is not None else []
        at_risk = [
            element("div", money(total) if total is not None else f"{number(count)} without totals", f" {name}" if name != "none" else "")
            for name, count, total in sums
        ]
        rows.append(
            element(
                "tr",
                element("th", element("a", str(client.client_no), href=f"#{_id(client)}"), scope="row"),
                element("td", mark_of(tone), sentence, class_=f"verdict {tone}"),
                element("td", *at_risk, class_="n"),
            )
        )
    heads = [("Client", None), ("Result", None), ("Money at risk", "n")]
    return element(
        "section",
        element("h2", "Client numbers", id="clients-title"),
        element(
            "table",
            element("thead", element("tr", *(element("th", text, scope="col", class_=kind) for text, kind in heads))),
            element("tbody", *rows),
            class_="clients",
        ),
        id="clients",
        aria_labelledby="clients-title",
    )


def _client(client: ClientResult, zone: tzinfo | None, *, is_over: bool) -> Markup:
    tone, sentence = client_verdict(client, is_over=is_over)
    scope = Scope(f"{_id(client)}-", 3)
    content = [alarm(client.report, scope), *report_sections(client.report, zone, scope)] if client.report is not None else []
    return element(
        "article",
        element("h2", f"Client {client.client_no}", id=scope.id("title")),
        element("p", mark_of(tone), sentence, class_=f"verdict {tone}"),
        join(*content),
        element("p", element("a", "All client numbers", href="#clients")),
        id=_id(client),
        aria_labelledby=scope.id("title"),
    )
