"""`amili-arm fields` and `amili-arm columns`, and what is pasted from them; the options and settings that say which columns are fields."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

import pytest

from amili_arm_async.values.fields import fields_of
from amili_arm_async.values.judge import Judge

CUSTOMERS = (
    "Kundenr;Navn;Adresse;Postnr;Poststed;Land;Orgnr.;Ansvarlig = x;Saldo\n"
    "1;Åse Øy;Storgata 1;0150;Oslo;NO;984842252;x;100,50\n2;Per;Gata 2;5003;Bergen;NO;;x;0\n"
)
DOCUMENTS = (
    "Bilagsnr;Kundenr;Fakturadato;Forfall;Valuta;Netto;MVA;Sum inkl. mva;Beløp;KID\n"
    "10;1;20.11.2026;04.12.2026;NOK;100,00;25,00;125,00;1;2345676\n11;2;20.11.2026;04.12.2026;NOK;200,00;50,00;250,00;2;2345676\n"
)


@pytest.fixture
def write(tmp_path):
    def make(text, name="f.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def test_a_file_without_a_header(call, write):
    result = call("columns", "customers", write("1;Kari Hemmelig;15057912345\n"))
    assert result.exit_code != 0
    assert "the first row holds values" in " ".join(result.output.split())
    assert "Hemmelig" not in result.output
    assert "15057912345" not in result.output


# --- fields -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_every_field_has_a_line(call, kind):
    result = call("fields", kind)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for path, field in fields_of(kind).items():
        (line,) = (line for line in lines if line.startswith(f"{path} "))
        assert f" {field.type} " in line
        assert field.meaning.replace("`", "") in line
        assert f" {field.example} " in line
    found = json.loads(call("fields", kind, "--json").stdout)
    assert [one["field"] for one in found["fields"]] == list(fields_of(kind))
    assert all(one["meaning"] and one["example"] and one["type"] for one in found["fields"])


@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_every_example_is_a_value_of_its_field(kind):
    for path, field in fields_of(kind).items():
        read = Judge(kind, [field]).read([[field.example]])
        assert (path, read.refused, read.warned, read.needs_number_sign) == (path, {}, {}, False)


@pytest.mark.parametrize("kind", ["customers", "documents"])
def test_a_check_finds_nothing_wrong_with_the_examples(call, write, kind):
    fields = {path: field.example for path, field in fields_of(kind).items()}
    path = write(";".join(fields) + "\n" + ";".join(fields.values()) + "\n")
    result = call("check", kind, path, "--json")
    # An organisation number beside a birth date is nobody's, and is no fault.
    assert [(one["code"], one["path"]) for one in json.loads(result.stdout)["faults"]] == []


# --- columns ------------------------------------------------------------------------------------------------------------


def pasted(text):
    """The options that are printed to be pasted."""
    block = re.search(r"# as options:\n(.*?)\n\n", text, re.DOTALL)
    assert block is not None
    return shlex.split(block[1].replace("\\\n", " "))


def test_what_is_proposed_can_be_pasted_as_options(call, write, served):
    path = write(CUSTOMERS)
    result = call("columns", "customers", path)
    assert result.exit_code == 0
    assert "as customers" in result.stdout
    assert re.search(r'# not mapped: "Saldo": .*balance', result.stdout)
    assert "Åse" not in result.stdout
    options = pasted(result.stdout)
    pushed = call("push", "customers", path, *options, "--extra-columns", env=served.env)
    assert pushed.exit_code == 0, pushed.stderr
    stored = served.ask(lambda sandbox: sandbox.customers.get("1"))
    assert (stored["name"], stored["postalAddress"]["countryCode"], stored["organizationNo"]) == ("Åse Øy", "NO", "984842252")


def test_what_is_proposed_can_be_pasted_into_the_settings_file(call, write, served):
    path = write(DOCUMENTS)
    result = call("columns", "documents", path)
    assert re.search(r'# not sure: "Beløp" = "currencyAmounts.inclVat" or "currencyAmounts.exclVat"', result.stdout)
    assert "--set documentType=IN" in result.stdout
    text = result.stdout[result.stdout.index("[columns.documents]") :]
    assert tomllib.loads(text)["columns"]["documents"]["Sum inkl. mva"] == "currencyAmounts.inclVat"
    settings = write(f'{text}\n[source]\nextra_columns = true\n[constants.documents]\ndocumentType = "IN"\n', "settings.toml")
    call("push", "customers", write('{"customerNo":"1","name":"A"}\n{"customerNo":"2","name":"B"}\n', "k.jsonl"), env=served.env)
    pushed = call("push", "documents", path, "--no-journal", "--config", settings, env=served.env)
    assert pushed.exit_code == 0, pushed.stderr
    stored = served.ask(lambda sandbox: sandbox.documents.get("10"))
    assert (stored["dueDate"], stored["currencyAmounts"]["inclVat"], stored["kid"]) == ("2026-12-04", 125, "2345676")


def test_the_proposal_for_programs(call, write):
    found = json.loads(call("columns", "documents", write(DOCUMENTS), "--json").stdout)
    assert found["kind"] == "documents"
    assert found["rows"] == 2
    assert found["columns"][0] == {"name": "Bilagsnr", "field": "documentNo", "candidates": [], "reason": None}
    assert found["missing"] == ["documentType"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.jsonl", b'{"Kundenr":"1","Navn":"A","adresse":{"Postnr":"0150"}}\n{"Kundenr":"2","Poststed":"Oslo"}\n'),
        ("f.csv", "Kundenr;Navn;Poststed\n1;Grønn;Tromsø\n".encode("cp1252")),
        ("f.csv", "Kundenr\tNavn\tPoststed\r\n1\tGrønn\tTromsø\r\n".encode("utf-16")),
    ],
)
def test_formats(call, write, name, content):
    result = call("columns", "customers", write(content, name), "--json")
    fields = {one["name"]: one["field"] for one in json.loads(result.stdout)["columns"]}
    assert (fields["Kundenr"], fields["Navn"], fields["Poststed"]) == ("customerNo", "name", "postalAddress.cityName")


def test_parquet(call, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"Kundenr": ["1"], "Navn": ["A"], "Fødselsdato": pa.array([None], pa.date32())}), path)
    fields = [one["field"] for one in json.loads(call("columns", "customers", path, "--json").stdout)["columns"]]
    assert fields == ["customerNo", "name", "dateOfBirth"]


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "."), (None, "can't be read"), ("PK\x03\x04xxxxxxxx", "zip archive")],
)
def test_what_can_not_be_proposed(call, write, tmp_path, content, words):
    result = call("columns", "customers", write(content) if content is not None else tmp_path / "none")
    assert result.exit_code == 2
    assert re.search(words, result.stderr)


def test_names_that_could_break_a_terminal_a_shell_or_a_file(call, write):
    text = call("columns", "customers", write('"Kunde\'""nr";"Na$(x)vn";"a\x1b[2J";b\n1;2;3;4\n')).stdout
    assert "\x1b" not in text
    tomllib.loads(text[text.index("[columns") :])


# --- options and settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--column", "Kundenr"], "--column 'Kundenr' is not COLUMN=FIELD"),
        (["--column", "=customerNo"], "is not COLUMN=FIELD"),
        (["--column", "A=customerNo", "--column", "A=name"], "given twice"),
        (["--column", "A=kundenr"], "no field of customers"),
        (["--column", "A=customerNo", "--column", "B=customerNo"], "both customerNo"),
        (["--set", "documentType"], "is not FIELD=VALUE"),
        (["--set", "name=A", "--set", "name=B"], "given twice"),
        (["--set", "nam=A"], "did you mean name"),
        (["--set", "customerNo=1"], "can't be the same in all"),
        (["--set", "dueDays=x"], "dueDays"),
        (["--lines", "x.csv"], "--lines is for documents"),
        (["--line-column", "A=documentNo"], "give that too"),
        (["--encoding", "klingon"], "encoding"),
    ],
)
def test_options_that_can_not_work(call, write, served, options, words):
    result = call("push", "customers", write("customerNo;name\n1;A\n"), *options, env=served.env)
    assert result.exit_code == 2
    assert words in result.stderr
    assert served.ask(lambda sandbox: sum(sandbox.requests.values())) == 0


def test_a_name_with_an_equals_sign_is_a_column_too(call, write, served):
    path = write("a=b;name\n1;x=y\n")
    assert call("push", "customers", path, "--column", "a=b=customerNo", "--set", "customerMessage=1=1", env=served.env).exit_code == 0
    assert served.ask(lambda sandbox: sandbox.customers.get("1"))["customerMessage"] == "1=1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[columns.customers]\nKundenr = "kundenr"\n', "columns.customers"),
        ("[columns.customers]\nKundenr = 1\n", "columns.customers"),
        ('[columns]\nKundenr = "customerNo"\n', "Kundenr"),
        ('[constants.documents]\ndocumenttype = "IN"\n', "did you mean documentType"),
        ('[source]\ndecimal = ";"\n', "source.decimal"),
    ],
)
def test_settings_that_can_not_work(call, write, text, words):
    settings = write(text, "s.toml")
    result = call("config", "show", "--config", settings)
    assert result.exit_code == 2
    assert words in result.stderr
    assert str(settings) in result.stderr


def test_options_replace_the_table_of_the_settings_file(call, write, served):
    settings = write('[columns.customers]\nA = "customerNo"\nB = "name"\n', "s.toml")
    path = write("C;name\n1;x\n")
    assert call("push", "customers", path, "--config", settings, env=served.env).exit_code == 1
    assert call("push", "customers", path, "--config", settings, "--column", "C=customerNo", env=served.env).exit_code == 0
