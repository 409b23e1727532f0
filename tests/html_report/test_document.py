"""The report document: what is read, what is refused and how that is said; how it is written."""

from __future__ import annotations

import json
import os
import stat

import msgspec
import pytest

from amili_arm_async import ConfigurationError
from amili_arm_async.cli.html_report.writers import _write_atomically, write_json
from amili_arm_async.nightly.report import read_report

from ..support import report_samples as samples

pytestmark = pytest.mark.quick


def changed(path, value):
    made = samples.troubled()
    at = made
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(made).encode()


def test_what_was_written_is_read_again(tmp_path) -> None:
    document = samples.read(samples.troubled())
    file = tmp_path / "report.json"
    write_json(document, file)
    assert read_report(file.read_bytes()) == document
    assert json.loads(file.read_bytes())["parts"][1]["money"]["currencies"][0]["read"]["total"] == "123907500.740"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_fields_that_are_not_known_are_passed_over() -> None:
    assert read_report(changed(["parts", 0, "colour"], "green")) == samples.read(samples.troubled())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["format"], "amili-arm report 9", "its format is 'amili-arm report 9'; expected 'amili-arm report 1'"),
        (["format"], None, "has no format"),
        (["started"], "yesterday", r"\$\.started"),
        (["started"], "2026-11-21T01:00:00", r"\$\.started"),
        (["started"], "0001-01-01T00:00:00Z", r"the year of \$\.started"),
        (["elapsed"], -1, r"\$\.elapsed"),
        (["parts", 0, "counts", "succeeded"], -1, r"\$\.parts\[0\]\.counts"),
        (["parts", 0, "counts", "lost"], 1, r"\$\.parts\[0\]\.counts"),
        (["parts", 0, "name"], "people", r"\$\.parts\[0\]\.name"),
        (["parts", 1, "money", "currencies", 0, "read", "total"], "NaN", r"currencies\[0\]\.read\.total"),
        (["parts", 1, "money", "currencies", 0, "read", "total"], 12.5, r"currencies\[0\]\.read\.total"),
        (["parts", 1, "money", "currencies", 0, "read", "total"], "1.0\n", r"currencies\[0\]\.read\.total"),
        (["parts", 0, "timeline", "seconds"], 0, r"timeline\.seconds"),
        (["parts", 0, "timeline", "buckets", 1, "latency_ms"], [1], r"buckets\[1\]\.latency_ms"),
    ],
)
def test_a_broken_document_is_refused_with_the_place(path, value, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_report(changed(path, value))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'"x"', b"[" * 100_000, b"<html>"])
def test_what_is_no_document_is_refused(data) -> None:
    with pytest.raises(ConfigurationError, match="not a report"):
        read_report(data)


def test_a_document_without_a_field_is_refused_by_its_name() -> None:
    made = samples.quiet()
    del made["parts"][0]["read"]
    with pytest.raises(ConfigurationError, match=r"`read`.*\$\.parts"):
        samples.read(made)


def test_a_file_is_whole_or_as_it_was(tmp_path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(b"old")

    def pieces():
        yield b"new"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _write_atomically(file, pieces())
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_every_field_is_documented() -> None:
    from amili_arm_async.nightly import report as document

    for name in document.__all__:
        cls = getattr(document, name)
        if isinstance(cls, type):
            assert all(f"{field.name}:" in (cls.__doc__ or "") for field in msgspec.structs.fields(cls)), name
