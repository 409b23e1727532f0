"""Files as users have them: the same customers and documents as CSV, JSON lines and Parquet, made a few thousand records at a time.

A customer has 23 columns and a right organisation number; a document has three lines and a right KID. Where `faulty` is asked for, nearly
every third record has a wrong check digit, which is worth a warning. In CSV and Parquet each line of a document is a row.
"""

import csv
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from .records import customer, document

CUSTOMER_COLUMNS = (
    "customerNo", "name", "postalAddress.addressLine1", "postalAddress.addressLine2", "postalAddress.postalCode", "postalAddress.cityName",
    "postalAddress.countryCode", "customerCategory", "emailAddressDocument", "secondaryEmailAddress", "phoneNo", "organizationNo",
    "dateOfBirth", "customerGroupCode", "language", "currency", "distribution.type", "distribution.einvoiceCode", "sellerReference",
    "buyerReference", "dueDays", "vatLiable", "customerMessage",
)  # fmt: skip
DOCUMENT_COLUMNS = (
    "documentType", "customerNo", "documentNo", "documentDate", "dueDate", "currency", "language", "kid", "sellerReference",
    "currencyAmounts.exclVat", "currencyAmounts.vat", "currencyAmounts.inclVat", "documentLines.lineNo", "documentLines.lineType",
    "documentLines.articleNo", "documentLines.articleName", "documentLines.lineText", "documentLines.quantityUnit",
    "documentLines.quantity", "documentLines.price", "documentLines.currencyAmounts.exclVat", "documentLines.currencyAmounts.vat",
    "documentLines.currencyAmounts.inclVat",
)  # fmt: skip
COLUMNS = {"customers": CUSTOMER_COLUMNS, "documents": DOCUMENT_COLUMNS}

Row = dict[str, Any]
"""The cells of a row by the names of the columns."""

_WEIGHTS = (3, 2, 7, 6, 5, 4, 3, 2)
_BLOCK = 2000


def organization_no(number: int) -> str:
    """A Norwegian organisation number whose last digit is right (modulus 11)."""
    while True:
        text = str(80_000_000 + number * 3 % 19_999_999)
        digit = -sum(weight * int(each) for weight, each in zip(_WEIGHTS, text, strict=True)) % 11
        if digit < 10:
            return f"{text}{digit}"
        number += 7


def kid(number: int) -> str:
    """A KID whose last digit is right (modulus 10)."""
    text = f"5002218{number:012}"
    doubled = sum(sum(divmod(2 * int(each), 10)) for each in text[::-2])
    return f"{text}{-(doubled + sum(map(int, text[-2::-2]))) % 10}"


def _with_wrong_digit(text: str) -> str:
    return text[:-1] + str((int(text[-1]) + 1) % 10)


def make_customer(number: int, *, faulty: bool) -> Row:
    """Customer `number` as a mapping with the API's names."""
    made = customer(number)
    made["organizationNo"] = organization_no(number)
    if faulty and number % 3 == 0:
        made["organizationNo"] = _with_wrong_digit(made["organizationNo"])
    for name in ("arRules", "naceCodes"):
        del made[name]
    for name in ("addressLine3", "countryText"):
        del made["postalAddress"][name]
    return made


def make_document(number: int, *, faulty: bool) -> Row:
    """Document `number` as a mapping with the API's names; its three lines add up."""
    made = document(number)
    right = kid(number)
    kept: Row = {
        name: made[name] for name in ("documentType", "customerNo", "documentNo", "documentDate", "dueDate", "currency", "language")
    }
    kept |= {"kid": _with_wrong_digit(right) if faulty and number % 3 == 0 else right, "sellerReference": made["sellerReference"]}
    lines = [_line(place, number) for place in (1, 2, 3)]
    sums = {name: round(sum(line["currencyAmounts"][name] for line in lines), 2) for name in ("exclVat", "vat", "inclVat")}
    return {**kept, "currencyAmounts": sums, "documentLines": lines}


def _line(place: int, number: int) -> Row:
    quarters = number * (7 + 6 * place) % 99_991
    return {
        "lineNo": place,
        "lineType": "PLH",
        "articleNo": str(1300 + place),
        "articleName": "Comb",
        "lineText": f"Article {number + place}",
        "quantityUnit": "pcs",
        "quantity": 1,
        "price": round(quarters * 0.04, 2),
        "currencyAmounts": {"exclVat": round(quarters * 0.04, 2), "vat": round(quarters * 0.01, 2), "inclVat": round(quarters * 0.05, 2)},
    }


def _records(kind: str, count: int, *, faulty: bool) -> Iterator[Row]:
    make = make_customer if kind == "customers" else make_document
    return (make(number, faulty=faulty) for number in range(count))


def _rows(kind: str, records: Iterator[Row]) -> Iterator[list[Any]]:
    """The cells of each row, in the order of the columns."""
    columns = [name.split(".") for name in COLUMNS[kind]]
    for record in records:
        for line in record.get("documentLines", (None,)):
            yield [_cell(record | {"documentLines": line}, names) for names in columns]


def _cell(value: Any, names: list[str]) -> Any:
    for name in names:
        value = value[name]
    value = value[0] if isinstance(value, list) else value
    if isinstance(value, float):
        return Decimal(f"{value:.2f}")
    return value


def write_lines(path: Path, kind: str, count: int, *, faulty: bool = False) -> None:
    """JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for record in _records(kind, count, faulty=faulty):
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def write_csv(path: Path, kind: str, count: int, *, faulty: bool = False) -> None:
    """CSV with semicolons, as exports have it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(COLUMNS[kind])
        for row in _rows(kind, _records(kind, count, faulty=faulty)):
            writer.writerow([str(cell).lower() if isinstance(cell, bool) else cell for cell in row])


def write_parquet(path: Path, kind: str, count: int, *, faulty: bool = False) -> None:
    """Parquet, with columns of the types that the values have: texts, integers, booleans, decimals and dates."""
    import pyarrow as pa  # noqa: PLC0415 - not everybody has it
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = _rows(kind, _records(kind, count, faulty=faulty))
    writer = None
    while block := list(islice(rows, _BLOCK)):
        columns = [_typed(name, cells) for name, cells in zip(COLUMNS[kind], map(list, zip(*block, strict=True)), strict=True)]
        arrays = [pa.array(cells, pa.decimal128(14, 2) if isinstance(cells[0], Decimal) else None) for cells in columns]
        batch = pa.RecordBatch.from_arrays(arrays, list(COLUMNS[kind]))
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_batch(batch, row_group_size=_BLOCK * 10)
    assert writer is not None
    writer.close()


def _typed(name: str, cells: list[Any]) -> list[Any]:
    return list(map(date.fromisoformat, cells)) if "Date" in name or name == "dateOfBirth" else cells


WRITERS = {"csv": write_csv, "jsonl": write_lines, "parquet": write_parquet}


def write_file(folder: Path, kind: str, form: str, count: int, *, faulty: bool = False) -> Path:
    """Writes a file of a kind of record in a format, and returns its path."""
    path = folder / f"{kind}{'-faulty' if faulty else ''}.{form}"
    WRITERS[form](path, kind, count, faulty=faulty)
    return path
