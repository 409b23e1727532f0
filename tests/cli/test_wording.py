"""Messages are in the terms of the command line, repeated lines are one, and the cause of an end stands last."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from amili_arm_async.cli.wording import PlacedTexts, continued, in_options, usage_in_words, wrapped

PYTHON = re.compile(
    r"\b(?:BulkOptions|Reconcile|BatchWords|Limits|RetryPolicy|ArmClient|FileContent|CheckReport)\b|(?<![\w.\[-])[a-z]+_[a-z_]+=|\b[a-z]+=True\b"
    r"|(?<![\w.\"'/\[-])(?:run_id|max_records|max_bytes|base_url|client_no|client_id|user_id|identity_url|dead_letter|decimal_sign|line_columns"
    r"|lines_optional|extra_columns|require_document_no|resend_known|resend_absent|stop_after_failures|at_least|source_exhausted)\b(?!\.\w)"
)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("say which sign stands before decimals (decimal_sign=, --decimal)", "say which sign stands before decimals (--decimal)"),
        ("decimal_sign= (--decimal) or its column says a comma", "--decimal or its column says a comma"),
        ("pass at_least=0 (--at-least 0)", "pass --at-least 0"),
        ("Use resend_known (--resend-known) to send it anyway", "Use --resend-known to send it anyway"),
        (
            "BulkOptions.run_id and reconcile need a journal: journal='nightly.sqlite'",
            "--run-id and reconcile need a journal: --journal nightly.sqlite",
        ),
        ("BulkOptions.concurrency must be at least 1", "--concurrency must be at least 1"),
        ("wait, or lower Limits.connections", "wait, or lower [connection.limits] connections"),
        (
            "the batch result uses words that BatchWords does not know",
            "the batch result uses words that [connection.batch_words] does not know",
        ),
        ("send fewer records at a time (BulkOptions.max_records, max_bytes)", "send fewer records at a time (--max-records, --max-bytes)"),
        ("set it with ArmClient(paths={'codes.get': ...})", "set it with the key 'codes.get' of [connection.paths]"),
        (
            'say which, with columns={"Kunde nr": "customerNo"} (--column \'Kunde nr=customerNo\')',
            "say which, with --column 'Kunde nr=customerNo'",
        ),
        ('columns: "A": "nam" is no field of customers', "--column A=nam: nam is no field of customers"),
        ('line_columns: "A" and "B" are both documentNo', '--line-column: "A" and "B" are both documentNo'),
        ("let lines have no document (lines_optional=True, --lines-optional)", "let lines have no document (--lines-optional)"),
        ("with another run_id", "with another --run-id"),
        ("remove compression=", "remove --compression"),
    ],
)
def test_a_message_of_the_library_is_in_the_terms_of_the_command_line(said, wanted):
    assert in_options(said) == wanted
    assert in_options(wanted) == wanted


@pytest.mark.parametrize(
    "said",
    [
        "there is no file run_id.csv",
        "such as one with {client_no} in it",
        "amili.toml: connection.client_no must be 1",
        'the column "max_records" is empty',
        "/tmp/at_least/x",
        "decimals (--x)",
    ],
)
def test_names_of_files_settings_and_columns_stay(said):
    assert in_options(said) == said


WRONG = [
    ["push", "customers", "FILE", "--max-records", "0"],
    ["push", "customers", "FILE", "--max-bytes", "1"],
    ["push", "customers", "FILE", "--concurrency", "0"],
    ["push", "customers", "FILE", "--deadline", "0"],
    ["push", "customers", "FILE", "--patience", "-1"],
    ["push", "customers", "FILE", "--stop-after-failures", "2.5"],
    ["push", "customers", "FILE", "--stop-after-failures", "-1"],
    ["push", "customers", "FILE", "--client-no", "0"],
    ["push", "customers", "FILE", "--base-url", "ftp://x"],
    ["push", "customers", "FILE", "--identity-url", "x"],
    ["push", "customers", "FILE", "--run-id", "one"],
    ["push", "customers", "FILE", "--journal", "J", "--run-id", " "],
    ["push", "customers", "FILE", "--resend-known"],
    ["push", "customers", "FILE", "--require-document-no"],
    ["push", "customers", "FILE", "--journal", "J", "--run-id", "1", "--reconcile"],
    ["push", "customers", "FILE", "--at-least", "50%"],
    ["push", "documents", "FILE"],
    ["push", "documents", "FILE", "--journal", "J"],
    ["push", "documents", "FILE", "--no-journal", "--reconcile"],
    ["push", "documents", "FILE", "--journal", "J", "--run-id", "1", "--reconcile", "--settle", "1", "--resend-absent"],
    ["push", "customers", "FILE", "--column", "A=nam"],
    ["push", "customers", "FILE", "--column", "A=name", "--column", "B=name"],
    ["push", "customers", "FILE", "--column", "Kundenr=customerNo", "--column", "B=name"],
    ["push", "customers", "FILE", "--set", "customerNo=1"],
    ["push", "customers", "FILE", "--set", "nam=1"],
    ["push", "documents", "FILE", "--no-journal", "--line-column", "A=documentNo"],
    ["push", "documents", "FILE", "--no-journal", "--lines", "FILE", "--line-column", "A=docNo"],
    ["push", "customers", "FILE", "--delimiter", "ab"],
    ["push", "customers", "FILE", "--encoding", "utf-99"],
    ["push", "customers", "FILE", "--format", "parquet"],
    ["check", "customers", "FILE", "--max-bytes", "1"],
    ["check", "customers", "FILE"],
    ["sync", "FILE", "--state", "S", "--at-least", "2.5"],
    ["sync", "FILE", "--state", "FILE"],
    ["sync", "FILE", "--state", "S"],
    ["nightly", "--customers", "FILE"],
    ["nightly", "--customers", "FILE", "--full"],
    ["nightly", "--customers", "FILE", "--at-least-customers", "50%"],
    ["nightly", "--documents", "FILE", "--journal", "J"],
    ["reconcile", "FILE"],
    ["replay", "FILE"],
    ["pull", "customers", "--page-size", "1"],
    ["pull", "customers", "--maximum-count", "-1"],
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_no_wrong_use_is_answered_in_python(words, call, served, tmp_path):
    (tmp_path / "FILE").write_text("Kundenr;Navn;Kunde nr\n1;A;2\n")
    given = [str(tmp_path / word) if word in {"FILE", "J", "S"} else word for word in words]
    result = call(*given, env=served.env)
    assert result.exit_code in {1, 2}
    assert not PYTHON.findall(result.stderr + result.stdout), result.stderr


def test_columns_that_are_no_fields_have_a_line_each_and_are_named_once(call, served, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text("Kundenr;Navn;Foo bar\n1;A;2\n", encoding="utf-8")
    wanted = ["  --column Kundenr=customerNo", "  --column Navn=name", "  --column 'Foo bar=FIELD'", "or ignore them with --extra-columns"]
    for words in (["push", "customers"], ["check", "customers"]):
        result = call(*words, path, env=served.env)
        said = (result.stdout + result.stderr).splitlines()
        start = said.index(wanted[0])
        assert said[start : start + 4] == wanted
        assert "\n".join(said).count("Kundenr") == 1


def test_long_lines_end_between_words_and_code_stays_whole():
    text = (
        "amili-arm: it is unknown what became of them: `amili-arm reconcile night.sqlite` finds out\n  --column 'Foo bar=FIELD' " + "x " * 9
    )
    first, *more, last = wrapped(text, 40).split("\n")
    assert first == "amili-arm: it is unknown what became of"
    assert "  `amili-arm reconcile night.sqlite`" in more
    assert last == text.split("\n")[1]
    assert wrapped(text, None) == text
    assert wrapped("line 7: " + "y" * 90, 40) == "line 7:\n  " + "y" * 90


def test_a_long_command_goes_on_in_the_next_line_and_is_the_same_for_a_shell():
    command = "cd '/a folder' && amili-arm nightly --customers 'my customers.csv' --documents invoices.csv --journal n.sqlite --run-id r1"
    lines = continued(command, 60).split("\n")
    assert len(lines) == 3
    assert all(len(line) <= 60 for line in lines)
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)
    assert continued(command, None) == f"    {command}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("push", "a.csv", "customers"), "KIND comes first, then FILE"),
        (("columns", "a.csv", "lines"), "KIND comes first, then FILE"),
        (("push", "customers", "a.csv", "--limit", "0"), "must be at least 1|not in the range"),
        (("push", "customers", "a.csv", "--limit", "x"), "whole number|not a valid int"),
        (("push", "customers", "a.csv", "--patience", "x"), "must be a number|not a valid float"),
        (("push", "customers", "a.csv", "--format", "xml"), "'xml' is not one of"),
    ],
)
def test_a_wrong_value_is_told_in_usual_words(call, arguments, words):
    result = call(*arguments)
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())
    assert result.exit_code == 2
    assert re.search(words, said), said
    assert not re.search("Value error|Input should", said)


def test_other_messages_about_values_stay():
    assert usage_in_words("'x' is not a date.", "until") == "'x' is not a date."


def test_the_cause_of_the_end_stands_last(call, served, tmp_path):
    path = tmp_path / "customers.jsonl"
    path.write_bytes(b'{"customerNo": "1"}\nbroken\n\xff\n' + b'{"customerNo": "2"}\n' * 3)
    result = call("push", "customers", path, "--base-url", "http://127.0.0.1:9/arm/v1", "--patience", "0", env=served.env)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("amili-arm: ")
    assert next(place for place, line in enumerate(lines) if "not_sent" in line or "invalid" in line) < len(lines) - 1


def test_many_records_with_the_same_text_are_one_line():
    found = PlacedTexts()
    for number in range(1, 61):
        found.add("invalid (money)", number, f"line {number}")
    found.add("invalid (date)", 7, "line 7", " (line 3)")
    first = "; ".join(f"line {number}" for number in range(1, 11))
    assert list(found.lines()) == [f"60 records: invalid (money) ({first}; ...)", "line 7: invalid (date) (line 3)"]


def test_what_all_places_begin_with_is_said_once():
    found = PlacedTexts()
    for number in range(1, 7):
        found.add("unknown (503)", number, f"documents, line {number}, key D{number}")
    (line,) = found.lines()
    assert line.startswith("documents, 6 records: unknown (503) (line 1, key D1; line 2, key D2; ")


def test_few_records_with_the_same_text_have_a_line_each_in_the_order_of_the_source():
    found = PlacedTexts()
    for number, text in ((4, "a"), (2, "b"), (1, "a"), (3, "b")):
        found.add(text, number, f"line {number}")
    assert list(found.lines()) == ["line 1: a", "line 2: b", "line 3: b", "line 4: a"]


def test_texts_beyond_the_most_are_counted():
    found = PlacedTexts(2)
    for number in range(5):
        found.add(f"text {number}", number, f"line {number}")
    assert list(found.lines(1)) == ["line 0: text 0"]
    assert found.others == 4


def test_a_check_names_many_faults_in_one_line_and_all_in_json(call, tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text("customerNo;name\n" + "".join(f"{number};NULL\n" for number in range(1, 31)), encoding="utf-8")
    result = call("check", "customers", path)
    (line,) = result.stdout.splitlines()
    assert line.startswith("30 records: warning possible_null_word: ")
    assert " (line 2, key 1; line 3, key 2; " in line
    assert len(json.loads(call("check", "customers", path, "--json").stdout)["faults"]) == 30
