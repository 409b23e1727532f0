"""Pure: which field a column of a table may be, by its name and its values. A proposal for people: nothing uses it by itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from ..values.fields import KEYS, LINES, Field, RecordKind, fields_of
from ..values.judge import Judge, Origin

__all__ = ["ColumnGuess", "Proposal", "TableKind", "propose"]

TableKind: TypeAlias = Literal["customers", "documents", "lines"]
"""What the rows of a table are; `lines`: lines of documents in a file of their own."""

_REQUIRED: Final[Mapping[TableKind, tuple[str, ...]]] = {
    "customers": ("customerNo",),
    "documents": ("customerNo", "documentNo", "documentType"),
    "lines": ("documentNo",),
}

_STEMS: Final[Mapping[str, str]] = {
    spelling: concept
    for concept, spellings in {
        "customer": "kunde kundes kundens kunder customer customers cust client debitor debtor",
        "nr": "nr nummer number num no id ident",
        "code": "kode code koder codes",
        "name": "navn name",
        "address": "adresse address addr adr gate street gateadresse veiadresse",
        "post": "post postal",
        "post nr": "zip zipcode postcode postkode",
        "place": "sted city town cityname place",
        "country": "land country",
        "org": "org organisasjons organisasjon organization organisation foretaks foretak company firma",
        "birth": "fodsels fodt foedsels foedt birth",
        "birth date": "dob",
        "date": "dato date dt",
        "ssn": "ssn person personal nationalid fnr socialsecurity",
        "email": "epost mail email emailaddress epostadresse mailadresse",
        "phone": "tlf telefon telf tel phone telephone",
        "mobile": "mobil mobile cell",
        "invoice": "faktura fakturaens invoice inv bilag bilags document doc dokument",
        "due": "forfall forfalls forfaller due betalingsfrist paymentdue",
        "amount": "belop belopet beloep amount sum total totalt totalsum",
        "net": "netto net nett",
        "gross": "brutto gross",
        "excl": "eks ekskl eksl eksklusive ex excl excluding excluded uten exclusive",
        "incl": "inkl inklusive ink incl including included med inclusive",
        "vat": "mva mvaen vat moms avgift tax merverdiavgift",
        "rate": "sats prosent percent pct rate",
        "duty": "pliktig plikt liable registrert registered",
        "currency": "valuta currency curr",
        "kid": "kid",
        "group": "gruppe group grp",
        "category": "kategori category",
        "language": "sprak spraak language lang",
        "our": "var vaar our selgers seller sellers selger",
        "their": "deres your their kjopers buyer buyers kjoper",
        "ref": "ref referanse reference",
        "quantity": "antall quantity qty mengde",
        "price": "pris price",
        "unit": "enhet enhets unit units",
        "payment": "betaling betalings payment",
        "terms": "betingelser vilkar terms",
        "pay": "betale payable",
        "paid": "betalt innbetalt paid rest remaining outstanding utestaende apen",
        "item": "vare varens artikkel artikkels item product produkt article prod",
        "item nr": "sku",
        "text": "tekst text beskrivelse description desc",
        "line": "linje linjens line ordrelinje fakturalinje",
        "order": "ordre order",
        "sale": "salgs salg sales",
        "purchase": "innkjops innkjop purchase bestillings bestilling rekvisisjons rekvisisjon po",
        "discount": "rabatt discount",
        "credit limit": "kredittgrense kredittlimit kreditlimit creditlimit",
        "credit": "kreditt credit",
        "days": "dager days",
        "bank": "bank",
        "account": "konto account",
        "parent": "hoved parent mor konsern overordnet",
        "year": "ar aar year",
        "type": "type art",
        "note": "notat merknad note kommentar comment",
        "message": "melding message",
        "balance": "saldo balance",
        "delivery": "levering leverings delivery shipping",
        "visit": "besoks besok visiting forretnings business",
        "first": "fornavn firstname first",
        "last": "etternavn lastname last surname",
        "base": "grunnlag",
        "nace": "nace naring narings bransje",
        "attachment": "vedlegg attachment",
        "": "pa av for til i of the to fra hos pr per og and a herav default standard kr nok sek dkk eur usd",
    }.items()
    for spelling in spellings.split()
}
"""What the parts of names mean, in Norwegian and in English, without accents."""

_TWO_NAMES: Final = "! the first and the last name are one field, name: put them into one column"

_COUNTRY: Final = "? postalAddress.countryCode postalAddress.countryText"


def _addresses() -> Iterator[tuple[str, str]]:
    """The parts of addresses: that of the post and that of the invoice are surely the one that is sent, others may be."""
    for of, sure in (("", ""), ("post ", ""), ("invoice ", ""), ("visit ", "? "), ("delivery ", "? ")):
        for which in ("", "address "):
            yield f"{of}{which}post nr", f"{sure}postalAddress.postalCode"
            yield f"{of}{which}post code", f"{sure}postalAddress.postalCode"
            yield f"{of}{which}place", f"{sure}postalAddress.cityName"
            yield f"{of}{which}post place", f"{sure}postalAddress.cityName"
            yield f"{of}{which}country code", f"{sure}postalAddress.countryCode"
            if which or not of.startswith("post"):
                yield f"{of}{which}country", _COUNTRY
        for line in ("address", "address line"):
            yield f"{of}{line}", f"{sure}postalAddress.addressLine1"
            yield from ((f"{of}{line} {number}", f"{sure}postalAddress.addressLine{number}") for number in (1, 2, 3))


_ADDRESSES: Final = {" ".join(sorted(set(words.split()))): rule for words, rule in _addresses()}

_APART: Final = frozenset({"pa", "av", "i", "to", "pr", "og", "a", "kr"})
"""Words without a meaning that are no part of a compound: "privat" is not "pr i vat"."""

_CUSTOMERS: Final[Mapping[str, str]] = {
    "paid": "! the service keeps the balance itself",
    "customer nr": "customerNo",
    "customer": "? customerNo name",
    "nr": "? customerNo",
    "name": "name",
    "org name": "name",
    **_ADDRESSES,
    "nr place post": "! it holds two fields, postalCode and cityName: give each a column of its own",
    "first": _TWO_NAMES,
    "last": _TWO_NAMES,
    "first name": _TWO_NAMES,
    "last name": _TWO_NAMES,
    "country name": "postalAddress.countryText",
    "org nr": "organizationNo",
    "org": "? organizationNo name",
    "birth date": "dateOfBirth",
    "birth": "? dateOfBirth",
    "birth year": "yearOfBirth",
    "birth nr": "ssn",
    "ssn": "ssn",
    "nr ssn": "ssn",
    "email": "emailAddressDocument",
    "email invoice": "emailAddressDocument",
    "email 1": "emailAddressDocument",
    "email 2": "secondaryEmailAddress",
    "phone": "phoneNo",
    "mobile": "phoneNo",
    "mobile phone": "phoneNo",
    "phone 1": "phoneNo",
    "phone 2": "secondaryPhoneNo",
    "currency": "currency",
    "language": "language",
    "group": "customerGroupCode",
    "category": "customerCategory",
    "our ref": "sellerReference",
    "their ref": "buyerReference",
    "ref": "? buyerReference sellerReference",
    "account bank": "bankAccountNo",
    "account": "? bankAccountNo",
    "discount": "discountRate",
    "discount rate": "discountRate",
    "credit limit": "limitAmount",
    "days due": "dueDays",
    "credit days": "? dueDays",
    "due": "? dueDays",
    "payment terms": "? dueDays",
    "duty vat": "vatLiable",
    "vat": "? vatLiable",
    "nr vat": "? organizationNo",
    "message": "? customerMessage",
    "customer parent": "parentCustomerNo",
    "org parent": "parentOrganizationNo",
    "nace": "naceCodes",
    "type": "? customerCategory",
    "balance": "! the service keeps the balance itself",
    "kid": "! the service makes the KID of a customer itself",
    "kid nr": "! the service makes the KID of a customer itself",
}

_AMOUNTS: Final[Mapping[str, str]] = {
    "net": "exclVat",
    "amount net": "exclVat",
    "amount excl vat": "exclVat",
    "excl vat": "exclVat",
    "amount excl net vat": "exclVat",
    "vat": "vat",
    "amount vat": "vat",
    "gross": "inclVat",
    "amount gross": "inclVat",
    "amount incl vat": "inclVat",
    "incl vat": "inclVat",
    "amount gross incl vat": "inclVat",
}

_LINE_AMOUNT: Final = "documentLines.currencyAmounts."

_DOCUMENTS: Final[Mapping[str, str]] = {
    "customer nr": "customerNo",
    "customer": "? customerNo",
    "customer name": "! documents have no name of the customer: it belongs to the customers",
    "name": "! documents have no name of the customer: it belongs to the customers",
    "invoice nr": "documentNo",
    "invoice": "? documentNo",
    "nr": "? documentNo customerNo",
    "invoice type": "documentType",
    "type": "? documentType",
    "invoice date": "documentDate",
    "date": "? documentDate",
    "due": "dueDate",
    "date due": "dueDate",
    **{words: f"currencyAmounts.{name}" for words, name in _AMOUNTS.items()},
    **{" ".join(sorted({*words.split(), "line"})): f"{_LINE_AMOUNT}{name}" for words, name in _AMOUNTS.items()},
    "amount": "? currencyAmounts.inclVat currencyAmounts.exclVat",
    "pay": "? currencyAmounts.inclVat",
    "amount pay": "? currencyAmounts.inclVat",
    **dict.fromkeys(("paid", "amount paid", "balance"), "! the service keeps what was paid and what is left"),
    "base": "? currencyAmounts.exclVat",
    "base vat": "? currencyAmounts.exclVat",
    "date order": "! documents have no date of the order or of the delivery",
    "date delivery": "! documents have no date of the order or of the delivery",
    "amount line": f"? {_LINE_AMOUNT}exclVat {_LINE_AMOUNT}inclVat",
    "code vat": "! documents have no code of the VAT, but amounts: exclVat, vat, inclVat",
    "rate vat": "! documents have no rate of the VAT, but amounts: exclVat, vat, inclVat",
    "currency": "currency",
    "kid": "kid",
    "payment ref": "? kid",
    "nr payment": "? kid",
    "language": "language",
    "our ref": "sellerReference",
    "their ref": "buyerReference",
    "customer ref": "? buyerReference",
    "order ref": "? salesOrderId purchaseOrderId",
    "customer order": "? purchaseOrderId",
    "ref": "? buyerReference sellerReference additionalReference",
    "order": "? salesOrderId purchaseOrderId",
    "order sale": "salesOrderId",
    "order purchase": "purchaseOrderId",
    "purchase": "purchaseOrderId",
    "email": "emailAddress",
    "message": "customerMessage",
    "note": "ledgerNote",
    "text": "? documentLines.lineText customerMessage",
    "attachment": "attachmentFiles",
    "quantity": "documentLines.quantity",
    "line quantity": "documentLines.quantity",
    "price": "documentLines.price",
    "price unit": "documentLines.price",
    "item price": "documentLines.price",
    **{f"{words} {vat} vat": "? documentLines.price" for words in ("price", "price unit") for vat in ("excl", "incl")},
    "unit": "documentLines.quantityUnit",
    "quantity unit": "documentLines.quantityUnit",
    "item": "? documentLines.articleNo documentLines.articleName",
    "item nr": "documentLines.articleNo",
    "item name": "documentLines.articleName",
    "item text": "documentLines.lineText",
    "group item": "documentLines.itemGroup1",
    "line": "? documentLines.lineNo",
    "line nr": "documentLines.lineNo",
    "line text": "documentLines.lineText",
    "line type": "documentLines.lineType",
    "discount": "! documents have no field for a discount",
    "discount rate": "! documents have no field for a discount",
}

_OF_SAP: Final[Mapping[RecordKind, Mapping[str, str]]] = {
    "customers": {
        "kunnr": "customerNo",
        "name1": "name",
        "stras": "postalAddress.addressLine1",
        "pstlz": "postalAddress.postalCode",
        "ort01": "postalAddress.cityName",
        "land1": "postalAddress.countryCode",
        "telf1": "phoneNo",
        "telf2": "phoneNo",
        "smtp_addr": "emailAddressDocument",
        "stcd1": "? organizationNo",
        "stceg": "? organizationNo",
        "waers": "currency",
        "bankn": "bankAccountNo",
    },
    "documents": {
        "vbeln": "documentNo",
        "fkart": "documentType",
        "fkdat": "documentDate",
        "kunnr": "customerNo",
        "kunrg": "customerNo",
        "kunag": "customerNo",
        "waerk": "currency",
        "kidno": "kid",
        "bstnk": "purchaseOrderId",
        "bstkd": "purchaseOrderId",
        "netwr": f"? currencyAmounts.exclVat {_LINE_AMOUNT}exclVat",
        "mwsbk": "currencyAmounts.vat",
        "mwsbp": f"{_LINE_AMOUNT}vat",
        "posnr": "documentLines.lineNo",
        "matnr": "documentLines.articleNo",
        "arktx": "documentLines.articleName",
        "fkimg": "documentLines.quantity",
        "vrkme": "documentLines.quantityUnit",
    },
}
"""Names that are the same in all tables of SAP, which no word explains."""

_VAGUE: Final = frozenset({"type", "address", "operator"})
"""Last parts of paths that mean something else where they are the whole name."""

_CAMEL: Final = re.compile("(?<=[a-z\u00e6\u00f8\u00e5])(?=[A-Z\u00c6\u00d8\u00c5])")

_DATE_FORM: Final = re.compile(r"\s*\([dmy\u00e5./ -]+\)\s*", re.IGNORECASE)

_PASSED_OVER: Final[Mapping[str, frozenset[str]]] = {
    "customers": frozenset({"customer", "nr", "code"}),
    "documents": frozenset({"invoice", "nr", "code"}),
}
"""What may be left out of a name where the whole is not known: the type that goes without saying, and words for "number"."""

_LETTERS: Final = str.maketrans({"ø": "o", "å": "a", "æ": "a", "ö": "o", "ä": "a", "ü": "u", "%": " prosent ", "#": " nr "})


# --- what is proposed ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ColumnGuess:
    """What a column may be.

    Attributes:
        name: of the column, as the header has it.
        field: that it surely is, as far as its name and its values show; None where that is not sure.
        candidates: fields that it may be, where that is not sure.
        reason: why it is not sure, or why there is no field; `""` where it is sure.
    """

    name: str
    field: str | None = None
    candidates: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the columns of a table may be.

    Attributes:
        kind: of the rows.
        columns: a guess for each, in the order of the table.
        missing: fields that each record needs and that no column surely is.
        needs_decimal_sign: whether numbers were seen that have two meanings, so that the decimal sign has to be told.
    """

    kind: TableKind
    columns: list[ColumnGuess]
    missing: list[str]
    needs_decimal_sign: bool


def propose(kind: TableKind, names: Sequence[str], cells: Sequence[Sequence[Any]], origins: Sequence[Origin] | None = None) -> Proposal:
    """Proposes the fields of the columns of a table.

    Args:
        kind: what the rows are.
        names: of the columns.
        cells: some of each column, of the same rows.
        origins: what each column was; None: all were texts.

    Returns:
        The proposal: to be read by a person, and never used by itself.
    """
    guesses = _by_name(names, "customers" if kind == "customers" else "documents")
    guesses = [_by_country(guess, column) for guess, column in zip(guesses, cells, strict=True)]
    if kind == "lines":
        guesses = [_in_lines_file(guess) for guess in guesses]
    elif kind == "documents":
        guesses = _of_lines_or_document(guesses, cells)
    guesses = _second_phone(guesses)
    given: list[Origin] = list(origins) if origins is not None else ["text"] * len(names)
    guesses = _by_values(kind, guesses, cells, given)
    guesses = _once_each(guesses)
    needs_sign = any(guess.reason == _TWO_MEANINGS for guess in guesses)
    guesses = [replace(guess, reason="") if guess.reason == _TWO_MEANINGS else guess for guess in guesses]
    found = {guess.field for guess in guesses}
    return Proposal(kind, guesses, [name for name in _REQUIRED[kind] if name not in found], needs_sign)


# --- by the name --------------------------------------------------------------------------------------------------------


def _by_name(names: Sequence[str], kind: RecordKind) -> list[ColumnGuess]:
    return [_guess(name, kind) for name in names]


def _guess(name: str, kind: RecordKind) -> ColumnGuess:
    if not name.strip():
        return ColumnGuess(name, reason="it has no name")
    known = fields_of(kind)
    text = name.strip().casefold()
    for path in known:
        if text in _VAGUE:
            break
        if text in {path.casefold(), path.rpartition(".")[2].casefold()} and (path.casefold() == text or _is_only(path, known)):
            return ColumnGuess(name, path)
    concepts, is_exact = _concepts(_DATE_FORM.sub("", name))
    rule = _OF_SAP[kind].get(text) or _rule(concepts, kind)
    is_exact = is_exact or text in _OF_SAP[kind]
    if rule is None:
        near = get_close_matches(_plain(name), {_plain(path.rpartition(".")[2]): path for path in known}, 1, 0.75)
        found = [path for path in known if near and _plain(path.rpartition(".")[2]) == near[0]]
        return ColumnGuess(name, None, tuple(found[:3]), "its name is only like this one" if found else "its name is like no field")
    if rule.startswith("!"):
        return ColumnGuess(name, reason=rule[2:])
    if rule.startswith("?"):
        return ColumnGuess(name, None, tuple(rule[2:].split()), "its name does not say enough")
    return ColumnGuess(name, rule) if is_exact else ColumnGuess(name, None, (rule,), "its name is only like one that is known")


def _is_only(path: str, known: Mapping[str, Field]) -> bool:
    last = path.rpartition(".")[2]
    return sum(other.rpartition(".")[2] == last for other in known) == 1


def _rule(concepts: frozenset[str], kind: RecordKind) -> str | None:
    rules = _rules(kind)
    if not concepts:
        return None
    for dropped in (frozenset[str](), frozenset({"nr"}), frozenset({"code"}), _PASSED_OVER[kind] - {"nr", "code"}, _PASSED_OVER[kind]):
        if (rest := concepts - dropped) and (rule := rules.get(rest)) is not None:
            return rule
    if kind == "documents" and "line" in concepts:
        for left_out in ({"order"}, {"order", "line"}):
            found = rules.get(concepts - left_out, "")
            if LINES in found or found.startswith("!"):
                return found
    return None


@cache
def _rules(kind: RecordKind) -> Mapping[frozenset[str], str]:
    return {frozenset(words.split()): rule for words, rule in (_CUSTOMERS if kind == "customers" else _DOCUMENTS).items()}


def _plain(name: str) -> str:
    """Returns the letters and digits of a name, without accents and without blanks between them."""
    return "".join(_words(name))


def _words(name: str) -> list[str]:
    # DateOfBirth is three words.
    text = _CAMEL.sub(" ", unicodedata.normalize("NFC", name)).casefold().translate(_LETTERS)
    text = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return re.findall(r"[a-z]+|\d+", text)


def _concepts(name: str) -> tuple[frozenset[str], bool]:
    """Returns what the parts of a name mean, and whether each part is spelled as it is known."""
    words = [word for word in _words(name) if _STEMS.get(word) != ""]
    whole = "".join(words)
    if (found := _cut(whole)) is not None:
        return _without_fillers(found), True
    found, is_exact = [], True
    for word in words:
        parts = _cut(word)
        if parts is None:
            parts, is_exact = _nearly(word), False
        if parts is None:
            return frozenset(), False
        found += parts
    return _without_fillers(found), is_exact


def _nearly(word: str) -> list[str] | None:
    """Returns the concepts of a compound of which one part is spelled wrongly; None where there is none."""
    for place in range(len(word) + 1):
        for odd, rest in ((word[:place], word[place:]), (word[place:], word[:place])):
            known = _cut(rest) if len(odd) > 3 else None
            if known is not None and (near := get_close_matches(odd, _STEMS, 1, 0.8)):
                return [_STEMS[near[0]], *known]
    return None


def _without_fillers(concepts: Sequence[str]) -> frozenset[str]:
    return frozenset(word for concept in concepts for word in concept.split())


@cache
def _cut(text: str) -> list[str] | None:
    """Returns the concepts of a compound such as `organisasjonsnummer`: the fewest known parts that cover it; None where none do."""
    best: list[list[str] | None] = [[]] + [None] * len(text)
    for end in range(1, len(text) + 1):
        for start in range(end):
            before = best[start]
            part = text[start:end]
            if before is not None and ((part in _STEMS and part not in _APART) or (part.isdigit() and len(part) == 1)):
                found = [*before, _STEMS.get(part, part)]
                if best[end] is None or len(found) < len(best[end] or []):
                    best[end] = found
    return best[-1]


# --- by the values ------------------------------------------------------------------------------------------------------

_TWO_MEANINGS: Final = "two meanings"

_EMAIL: Final = "emailAddressDocument"

_LEAST_GROUPS: Final = 3
"""Documents with several rows that have to agree before a column is taken for one of the document."""


def _filled(column: Sequence[Any]) -> list[Any]:
    """Returns the cells that are not blank."""
    return [cell for cell in column if cell is not None and (not isinstance(cell, str) or cell.strip())]


def _by_country(guess: ColumnGuess, column: Sequence[Any]) -> ColumnGuess:
    if guess.candidates != ("postalAddress.countryCode", "postalAddress.countryText") or not (values := _filled(column)):
        return guess
    is_code = [len(value.strip()) == 2 and value.strip().isalpha() for value in map(str, values)]
    if all(is_code):
        return ColumnGuess(guess.name, "postalAddress.countryCode")
    return guess if any(is_code) else ColumnGuess(guess.name, "postalAddress.countryText")


def _in_lines_file(guess: ColumnGuess) -> ColumnGuess:
    """In a file of lines, an amount is one of the line, and nothing is a field of the document but its number."""
    if guess.field is None:
        found = tuple(dict.fromkeys(path for one in guess.candidates if (path := _in_lines(one)) is not None))
        if len(found) == 1 < len(guess.candidates):
            # What else the name can mean is a field of the document.
            return ColumnGuess(guess.name, found[0])
        return replace(guess, candidates=found)
    if (path := _in_lines(guess.field)) is not None:
        return replace(guess, field=path)
    return ColumnGuess(guess.name, reason=f"{guess.field} belongs to the document, not to a line: leave it out")


def _in_lines(path: str) -> str | None:
    """The field that a path is in a file of lines; None where it is one of the document."""
    if path == KEYS["documents"] or path.startswith(LINES):
        return path
    return of_line if (of_line := f"{LINES}.{path}") in fields_of("documents") else None


def _of_lines_or_document(guesses: list[ColumnGuess], cells: Sequence[Sequence[Any]]) -> list[ColumnGuess]:
    """Tells amounts of the lines from those of the document, where each row is a line."""
    fields = [guess.field for guess in guesses]
    if KEYS["documents"] not in fields or not any(f"{field}".startswith(f"{LINES}.") for field in fields):
        return guesses
    keys = cells[fields.index(KEYS["documents"])]
    return [
        _line_or_document(guess, keys, column) if f"{guess.field}".startswith("currencyAmounts.") and guess.field != guess.name else guess
        for guess, column in zip(guesses, cells, strict=True)
    ]


def _line_or_document(guess: ColumnGuess, keys: Sequence[Any], column: Sequence[Any]) -> ColumnGuess:
    groups: dict[str, list[Any]] = {}
    for key, cell in zip(keys, column, strict=True):
        if key:
            groups.setdefault(str(key), []).append(cell)
    several = [cells for cells in groups.values() if len(cells) > 1]
    path = f"{LINES}.{guess.field}"
    if any(len({str(cell).strip() for cell in _filled(cells)}) > 1 for cells in several):
        return replace(guess, field=path)
    if len(several) >= _LEAST_GROUPS:
        return guess
    return ColumnGuess(guess.name, None, (f"{guess.field}", path), "it may be of the document or of the line")


def _second_phone(guesses: list[ColumnGuess]) -> list[ColumnGuess]:
    """Of a telephone and a mobile number, the mobile number is the second."""
    phones = [place for place, guess in enumerate(guesses) if guess.field == "phoneNo"]
    mobiles = [place for place in phones if "mobile" in _concepts(guesses[place].name)[0]]
    taken = any(guess.field == "secondaryPhoneNo" for guess in guesses)
    if len(phones) == 2 and len(mobiles) == 1 and not taken:
        guesses[mobiles[0]] = replace(guesses[mobiles[0]], field="secondaryPhoneNo")
    return guesses


def _by_values(kind: TableKind, guesses: list[ColumnGuess], cells: Sequence[Sequence[Any]], origins: Sequence[Origin]) -> list[ColumnGuess]:
    """Takes back what most values of a column contradict."""
    record: RecordKind = "customers" if kind == "customers" else "documents"
    return [_by_its_values(record, guess, _filled(column), origin) for guess, column, origin in zip(guesses, cells, origins, strict=True)]


def _by_its_values(record: RecordKind, guess: ColumnGuess, values: list[Any], origin: Origin) -> ColumnGuess:
    if guess.field is None or not values:
        return guess
    judged = Judge(record, [fields_of(record)[guess.field]], origins=[origin]).read([values])
    if judged.needs_number_sign:
        return replace(guess, reason=_TWO_MEANINGS)
    if len(judged.refused) * 2 > len(values):
        why = next(iter(judged.refused.values()))[0].message
        return ColumnGuess(guess.name, None, (guess.field,), f"its values do not fit: {why}")
    return guess


def _once_each(guesses: list[ColumnGuess]) -> list[ColumnGuess]:
    """Of several columns for one field, keeps the one that has its name, and is sure of none of the others."""
    by_field: dict[str, list[ColumnGuess]] = {}
    for guess in guesses:
        if guess.field is not None:
            by_field.setdefault(guess.field, []).append(guess)
    found = []
    for guess in guesses:
        others = by_field.get(guess.field or "", [])
        of_invoices = [other for other in others if other.field == _EMAIL and "invoice" in _concepts(other.name)[0]]
        if guess.field is None or len(others) == 1 or guess.name == guess.field or of_invoices == [guess]:
            found.append(guess)
        else:
            names = ", ".join([f'"{other.name}"' for other in others if other is not guess])
            found.append(ColumnGuess(guess.name, None, (guess.field,), f"so may {names}"))
    return found
