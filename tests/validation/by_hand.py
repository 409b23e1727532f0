"""The rules for the fields of a document together, one at a time, as the pages tell them: what `validation.rules` finds by column."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

AMOUNTS = ("exclVat", "vat", "inclVat")


def faults_together(record):
    """The codes and paths of what is missing in a document, and of what does not agree."""
    found = set()
    for name, code in (("customerNo", "missing"), ("documentType", "missing"), ("documentNo", "no_document_no")):
        if not (record.get(name) or "").strip():
            found.add((code, name))
    issued, due = day(record.get("documentDate")), day(record.get("dueDate"))
    if issued and due and due < issued:
        found.add(("due_before_date", "dueDate"))
    header, lines = record.get("currencyAmounts") or {}, record.get("documentLines") or []
    if not adds_up(header):
        found.add(("amounts", "currencyAmounts"))
    found |= {
        ("amounts", f"documentLines[{place}].currencyAmounts")
        for place, line in enumerate(lines)
        if not adds_up(line.get("currencyAmounts") or {})
    }
    given = [line.get("currencyAmounts") or {} for line in lines if not is_text(line)]
    for name in AMOUNTS:
        parts = [amounts.get(name) for amounts in given]
        if header.get(name) is not None and parts and None not in parts and sum(map(exact, parts)) != exact(header[name]):
            found.add(("lines", f"currencyAmounts.{name}"))
    return found


def day(text):
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def exact(number):
    return Fraction(Decimal(number))


def adds_up(amounts):
    excl, vat, incl = [amounts.get(name) for name in AMOUNTS]
    return None in (excl, vat, incl) or exact(excl) + exact(vat) == exact(incl)


def is_text(line):
    amounts = line.get("currencyAmounts") or {}
    return (line.get("lineType") or "").upper() == "TXT" and all(amounts.get(name) is None for name in AMOUNTS)
