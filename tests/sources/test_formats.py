"""What a file is, by its first bytes: formats that are read, and others by name with the remedy."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import pytest

from amili_arm_async import SourceError
from amili_arm_async.sources.formats import format_of, is_enough, refuse_other_formats, text_of

pytestmark = pytest.mark.quick


def archive(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            # Without a time of day, which would be in the names of the tests.
            made.writestr(zipfile.ZipInfo(name), "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (archive("[Content_Types].xml", "xl/workbook.xml"), "spreadsheet (xlsx)"),
        (archive("xl/workbook.xml"), "spreadsheet (xlsx)"),
        (archive("mimetype", "content.xml"), "spreadsheet (ods)"),
        (archive("customers.csv"), "zip archive: unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "(xls)"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF"),
        (b"{\\rtf1\\ansi", "RTF"),
        (bz2.compress(b"x"), "bzip2"),
        (lzma.compress(b"x"), "xz"),
        (gzip.compress(b"x", mtime=0), "compressed twice"),
        (b"SQLite format 3\0" + bytes(100), "SQLite"),
        (b"ARROW1\0\0" + bytes(100), "Arrow file"),
        (b"customers.csv" + bytes(244) + b"ustar\x0000", "tar archive"),
        (b"<!DOCTYPE html>\n<html><head><title>Log in</title>", "an HTML page"),
        (b"\xef\xbb\xbf\r\n  <HTML>", "an HTML page"),
        (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML">', "an HTML page"),
        ("<html>".encode("utf-16"), "an HTML page"),
        (b"<table><tr><td>customerNo</td>", "an HTML page"),
        (b'<html xmlns:x="urn:schemas-microsoft-com:office:excel">', "saved as XML or HTML"),
        (b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>', "saved as XML or HTML"),
        (b'<?xml version="1.0"?><customers><customer>', "it is XML"),
        (b"<customers>", "it is XML"),
        ("customerNo;name".encode("utf-32"), "UTF-32"),
        ("customerNo;name\n1;A".encode("utf-16-le"), "encoding utf-16-le"),
        ("customerNo;name\n1;A".encode("utf-16-be"), "encoding utf-16-be"),
        (bytes(range(256)), "binary"),
    ],
)
def test_other_formats_are_refused_by_name(first, words):
    for part in (first, first[:64]) if "tar" not in words else (first,):
        with pytest.raises(SourceError) as raised:
            refuse_other_formats(part, None)
        assert words in str(raised.value) or part != first


@pytest.mark.parametrize(
    ("first", "name", "expected"),
    [
        (b'{"customerNo":"1"}', "x", "jsonl"),
        (b'\xef\xbb\xbf \n [\n {"customerNo":"1"}', "x", "jsonl"),
        (b"[{", "x", "jsonl"),
        (b"[", "x", "jsonl"),
        (b"[]", "x", "jsonl"),
        (b"[customerNo];[name]\n", "x", "csv"),
        (b"customerNo;name\n1;O\0la\n", "x", "csv"),
        (b"customerNo;name\r\n\x1a", "x", "csv"),
        (b"customerNo;name", "x.json.GZ", "jsonl"),
        (b"PAR1", "x.csv", "parquet"),
        (b"", "x.csv", "jsonl"),
        ('{"a":1}'.encode("utf-16"), "x", "jsonl"),
        ("customerNo;name".encode("utf-16"), "x", "csv"),
    ],
)
def test_formats_that_are_read(first, name, expected):
    refuse_other_formats(first, None)
    assert format_of(first, name, None) == expected


def test_an_encoding_that_is_named_is_believed():
    for encoding in ("utf-32", "utf-16-le", "utf-16-be", "cp1140"):
        first = "customerNo;name\n1;A\n".encode(encoding)
        refuse_other_formats(first, encoding)
        assert format_of(first, "x", encoding) == "csv"
        assert text_of(first, encoding) == b"customerNo;name\n1;A\n" or encoding == "utf-32"
        with pytest.raises(SourceError, match="HTML"):
            refuse_other_formats("<html>".encode(encoding), encoding)


def test_how_much_is_enough():
    assert not is_enough(b" " * 1000 + b"{", None)
    assert is_enough(b" \n" + b"customerNo;" * 10, None)
    assert is_enough(("customerNo;" * 10).encode("utf-16"), None)
    assert not is_enough("customerNo;".encode("utf-16"), None)
    # Of what comes through a pipe, no more is waited for.
    assert is_enough(b"customerNo\n", None)
    assert is_enough(b'{"', None)
    assert is_enough(b"[ {", None)
    assert not is_enough(b"{\\rt", None)
