"""Tables of Arrow as blocks of columns: frames of polars, pandas and DuckDB, tables, batches, Parquet files."""

from __future__ import annotations

import io
import resource
from datetime import date, datetime
from decimal import Decimal

import pytest

from amili_arm_async import ConfigurationError, SourceError, open_records
from amili_arm_async.sources.arrow import arrow_table_of, parquet_table
from amili_arm_async.sources.table import BrokenRow

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def opened(table, wanted=None):
    table.begin()
    if wanted is not None:
        table.select(wanted)
    return table


def rows_of(table, wanted=None):
    """All rows as mappings, with their lines; and the broken ones."""
    opened(table, wanted)
    rows, broken, numbers = [], [], []
    for block in table.blocks():
        assert len(block.columns) == len(table.names)
        chosen = [place for place, name in enumerate(table.names) if wanted is None or name in wanted]
        assert {len(block.columns[place]) for place in chosen} <= {len(block.numbers)}
        for row in range(len(block.numbers)):
            found = {table.names[place]: block.columns[place][row] for place in chosen if block.columns[place][row] is not None}
            if block.lines is not None:
                start, end = block.lines.offsets[row : row + 2]
                cells = {path: column[start:end] for path, column in zip(table.line_paths, block.lines.columns, strict=True)}
                found["lines"] = [
                    {path: column[line] for path, column in cells.items() if column and column[line] is not None}
                    for line in range(end - start)
                ]
            rows.append(found)
        numbers += block.numbers
        broken += block.broken
    assert sorted([*numbers, *(row.number for row in broken)]) == list(range(1, len(numbers) + len(broken) + 1))
    return rows, broken


def rows(given, wanted=None, **options):
    table = arrow_table_of(given, **options)
    assert table is not None
    found, broken = rows_of(table, wanted)
    assert broken == []
    return found


def file_of(table, **options):
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def parquet(*contents, names=None):
    names = names or [f"part-{number}.parquet" for number in range(len(contents))]
    return parquet_table([(name, lambda content=content: io.BytesIO(content)) for name, content in zip(names, contents, strict=True)])


# --- one table, from everywhere ---------------------------------------------------------------------------------------------

DAY = datetime(2026, 11, 20)  # noqa: DTZ001 - frames have them without a zone
COLUMNS = {
    "customerNo": ["0150", "2"],
    "postalAddress": [{"cityName": "Bø", "postalCode": "3800"}, {"cityName": None, "postalCode": None}],
    "emailAddressDocument": [["a@b.no", "c@d.no"], []],
    "dueDays": [14, 30],
    "discountRate": [5.5, None],
    "limitAmount": [Decimal("12.50"), None],
    "dateOfBirth": [date(1984, 5, 17), None],
    "stopReminderUntil": [DAY, None],
    "vatLiable": [True, False],
}
EXPECTED = [
    {
        "customerNo": "0150",
        "postalAddress.cityName": "Bø",
        "postalAddress.postalCode": "3800",
        "emailAddressDocument": ["a@b.no", "c@d.no"],
        "dueDays": "14",
        "discountRate": "5.5",
        "limitAmount": "12.50",
        "dateOfBirth": "1984-05-17",
        "stopReminderUntil": "2026-11-20 00:00:00",
        "vatLiable": "true",
    },
    {"customerNo": "2", "emailAddressDocument": [], "dueDays": "30", "vatLiable": "false"},
]
ORIGINS = {
    **dict.fromkeys(("customerNo", "postalAddress.cityName", "postalAddress.postalCode", "emailAddressDocument"), "text"),
    "dueDays": "integer",
    "discountRate": "float",
    "limitAmount": "decimal",
    "vatLiable": "boolean",
    **dict.fromkeys(("dateOfBirth", "stopReminderUntil"), "date"),
}


class Owner:
    """Gives an array as the protocol of Arrow has it, and nothing else."""

    def __init__(self, batch):
        self._batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self._batch.__arrow_c_array__(requested_schema)


def polars_frame():
    return pytest.importorskip("polars").DataFrame(COLUMNS)


def pandas_frame():
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


CONNECTIONS = []


def duckdb_relation():
    connection = pytest.importorskip("duckdb").connect()
    connection.register("customers", pa.table(COLUMNS))
    # In some versions, a relation ends with its connection.
    CONNECTIONS.append(connection)
    return connection.sql("SELECT * FROM customers")


@pytest.mark.parametrize(
    "make",
    [
        polars_frame,
        pandas_frame,
        duckdb_relation,
        lambda: pa.table(COLUMNS),
        lambda: pa.table(COLUMNS).to_reader(),
        lambda: pa.table(COLUMNS).to_batches()[0],
        lambda: pa.table(COLUMNS).to_batches(1),
        lambda: [pa.table(COLUMNS)],
        lambda: Owner(pa.table(COLUMNS).to_batches()[0]),
    ],
)
def test_every_library_gives_the_same(make):
    table = arrow_table_of(make())
    found, broken = rows_of(table)
    assert (found, broken) == (EXPECTED, [])
    assert dict(zip(table.names, table.origins, strict=True)) == ORIGINS
    assert (table.unit, table.line_paths) == ("row", [])


def test_parquet_gives_the_same():
    table = parquet(file_of(pa.table(COLUMNS), row_group_size=1))
    assert rows_of(table) == (EXPECTED, [])
    assert dict(zip(table.names, table.origins, strict=True)) == ORIGINS
    assert table.row_count == 2


def test_an_iterator_of_batches_is_a_table_where_it_is_said_to_be_one():
    assert arrow_table_of(iter(pa.table(COLUMNS).to_batches())) is None
    assert rows((batch for batch in pa.table(COLUMNS).to_batches(1)), batches=True) == EXPECTED
    assert rows(iter(()), batches=True) == []
    with pytest.raises(SourceError, match=r"a dict is no batch of Arrow"):
        rows(iter([{"customerNo": "1"}]), batches=True)


async def test_batches_that_an_engine_hands_over_are_records():
    batches = pa.table({"customerNo": ["1", "2", "3"], "name": ["a", None, "c"]}).to_batches(2)
    async with open_records(iter(batches), "customers") as records:
        assert [record async for record in records] == [
            {"customerNo": "1", "name": "a"},
            {"customerNo": "2"},
            {"customerNo": "3", "name": "c"},
        ]
        assert records.place(2) == "row 3"


@pytest.mark.parametrize(
    "given", ["a.csv", b"", io.BytesIO(), None, 7, [], [{"customerNo": "1"}], {"customerNo": "1"}, (row for row in ())]
)
def test_what_is_no_table_is_none(given):
    assert arrow_table_of(given) is None


def test_a_large_frame_comes_in_small_blocks_with_all_its_rows():
    table = opened(arrow_table_of(pa.table({"customerNo": list(map(str, range(1234)))})))
    blocks = list(table.blocks())
    assert max(len(block.numbers) for block in blocks) <= 1000
    assert [cell for block in blocks for cell in block.columns[0]] == list(map(str, range(1234)))
    assert [number for block in blocks for number in block.numbers] == list(range(1, 1235))
    assert table.row_count == 1234


# --- what is near a table -----------------------------------------------------------------------------------------------------


def near_tables():
    pl, pd, duckdb = (pytest.importorskip(name) for name in ("polars", "pandas", "duckdb"))
    import pyarrow.dataset as ds

    yield pl.LazyFrame({"a": [1]}), r"polars LazyFrame .*frame\.collect\(\)"
    yield pl.Series([1]), r"polars Series .*one column: give series\.to_frame\(\)"
    yield pd.Series([1]), r"pandas Series .*one column: give series\.to_frame\(\)"
    yield duckdb.connect().execute("SELECT 1"), r"duckdb DuckDBPyConnection .*connection\.sql\(query\)"
    yield ds.dataset(pa.table({"a": [1]})), r"pyarrow Dataset .*scanner\(\)\.to_reader\(\)"
    yield pa.array([1]), r"pyarrow Array .*one column"
    yield pa.chunked_array([[1]]), r"pyarrow ChunkedArray .*one column"


def test_what_is_near_a_table_is_refused_with_the_remedy():
    for given, message in near_tables():
        with pytest.raises(ConfigurationError, match=message):
            arrow_table_of(given)


def test_a_cursor_of_adbc_is_refused_with_the_remedy():
    cursor = type("Cursor", (), {"__module__": "adbc_driver_manager.dbapi", "read": None})()
    with pytest.raises(ConfigurationError, match=r"fetch_record_batch\(\)"):
        arrow_table_of(cursor)


def test_a_result_of_sqlalchemy_is_refused_with_the_remedy():
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        result = connection.execute(sqlalchemy.text("SELECT 1"))
        with pytest.raises(ConfigurationError, match=r"result\.mappings\(\)"):
            arrow_table_of(result)
        assert arrow_table_of(result.mappings()) is None
    engine.dispose()


# --- which columns are wanted ---------------------------------------------------------------------------------------------------


def test_only_what_is_wanted_is_converted():
    given = pa.table({"customerNo": ["1"], "photo": [b"\xff"], "name": ["Kari"]})
    for table in (arrow_table_of(given), parquet(file_of(given))):
        assert rows_of(table, {"customerNo"}) == ([{"customerNo": "1"}], [])
        assert table.names == ["customerNo", "photo", "name"]
    table = opened(arrow_table_of(given), {"name"})
    (block,) = table.blocks()
    assert [list(column) for column in block.columns] == [[], [], ["Kari"]]


def test_a_wanted_column_that_can_be_no_text_is_named_with_its_type_and_the_remedy():
    given = pa.table({"customerNo": ["1"], "photo": [b"\xff"], "spent": pa.array([1], pa.duration("s"))})
    for table in (arrow_table_of(given), parquet(file_of(given))):
        with pytest.raises(SourceError, match=r'column "photo" is of type binary, which is no text.*: bytes .*make it a text'):
            opened(table, {"customerNo", "photo"})
        with pytest.raises(SourceError, match=r'column "spent" is of type duration\[\w+\]'):
            opened(table, {"spent"})
    with pytest.raises(SourceError, match='column "photo"'):
        list(opened(arrow_table_of(given)).blocks())


def test_a_table_of_which_no_column_is_wanted_has_its_rows_still():
    for table in (arrow_table_of(pa.table(COLUMNS)), parquet(file_of(pa.table(COLUMNS)))):
        assert rows_of(table, set()) == ([{}, {}], [])


# --- lines ----------------------------------------------------------------------------------------------------------------------

LINES = [
    [
        {"lineNo": 1, "price": Decimal("1.25"), "currencyAmounts": {"vat": Decimal("0.25")}},
        {"lineNo": 2, "price": None, "currencyAmounts": None},
    ],
    None,
    [],
    [{"lineNo": 1, "price": Decimal("7.00"), "currencyAmounts": {"vat": None}}],
]
EXPECTED_LINES = [
    [
        {"documentLines.lineNo": "1", "documentLines.price": "1.25", "documentLines.currencyAmounts.vat": "0.25"},
        {"documentLines.lineNo": "2"},
    ],
    [],
    [],
    [{"documentLines.lineNo": "1", "documentLines.price": "7.00"}],
]


def test_a_list_of_structs_holds_lines():
    given = pa.table({"documentNo": ["1", "2", "3", "4"], "documentLines": LINES})
    expected = [{"documentNo": str(number), "lines": lines} for number, lines in enumerate(EXPECTED_LINES, 1)]
    pl = pytest.importorskip("polars")
    for table in (arrow_table_of(given), arrow_table_of(given.slice(0)), parquet(file_of(given)), arrow_table_of(pl.from_arrow(given))):
        assert rows_of(table) == (expected, [])
        assert list(table.names) == ["documentNo"]
        # Not every version of pyarrow keeps the order of the fields.
        assert dict(zip(table.line_paths, table.line_origins, strict=True)) == {
            "documentLines.lineNo": "integer",
            "documentLines.price": "decimal",
            "documentLines.currencyAmounts.vat": "decimal",
        }
    assert rows(given.slice(1, 3)) == expected[1:]
    assert rows([given.slice(3), given.slice(0, 2)]) == [expected[3], *expected[:2]]


def test_a_line_that_is_null_is_a_line_without_values():
    kind = pa.list_(pa.struct([("lineNo", pa.int32())]))
    assert rows(pa.table({"documentLines": pa.array([[None, {"lineNo": 2}]], kind)})) == [{"lines": [{}, {"documentLines.lineNo": "2"}]}]


def test_only_the_wanted_fields_of_lines_are_converted():
    given = pa.table({"documentNo": ["1"], "documentLines": [[{"lineNo": 1, "raw": b"\xff"}]]})
    assert rows(given, {"documentNo", "documentLines.lineNo"}) == [{"documentNo": "1", "lines": [{"documentLines.lineNo": "1"}]}]
    assert rows(given, {"documentNo"}) == [{"documentNo": "1"}]
    with pytest.raises(SourceError, match=r'column "documentLines\.raw" is of type binary'):
        rows(given, {"documentNo", "documentLines.raw"})


def test_a_record_has_one_list_of_lines():
    given = pa.table({"a": [[{"x": 1}]], "b": [[{"y": 1}]]})
    assert rows(given, {"b.y"}) == [{"lines": [{"b.y": "1"}]}]
    with pytest.raises(SourceError, match=r'columns "a\.x" and "b\.y" are in two lists of lines'):
        rows(given)


def test_rows_with_many_lines_come_in_smaller_blocks():
    given = pa.table({"documentNo": list(map(str, range(30))), "documentLines": [[{"lineNo": line} for line in range(900)]] * 30})
    blocks = list(opened(arrow_table_of(given)).blocks())
    assert max(len(block.lines.columns[0]) for block in blocks) <= 2000
    assert [number for block in blocks for number in block.numbers] == list(range(1, 31))
    assert len(rows(given)[29]["lines"]) == 900


def test_a_struct_in_a_null_struct_is_null():
    inner = pa.StructArray.from_arrays([pa.array(["x", "y"])], ["name"], mask=pa.array([False, False]))
    outer = pa.StructArray.from_arrays([inner], ["inner"], mask=pa.array([False, True]))
    assert rows(pa.table({"outer": outer})) == [{"outer.inner.name": "x"}, {}]


# --- surprises of each library -----------------------------------------------------------------------------------------------------


def test_a_frame_of_polars_may_hold_what_arrow_does_not_have():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {
            "customerNo": ["1"],
            "wide": pl.Series([2**100], dtype=pl.Int128),
            "thing": pl.Series([object()], dtype=pl.Object),
            "kind": pl.Series(["k"], dtype=pl.Categorical),
            "form": pl.Series(["f"], dtype=pl.Enum(["e", "f"])),
            "rate": [float("nan")],
            "nothing": [None],
            "pair": pl.Series([["a", "b"]], dtype=pl.Array(pl.String, 2)),
            "at": pl.Series([datetime(2026, 11, 19, 23)], dtype=pl.Datetime("us", "Europe/Oslo")),  # noqa: DTZ001 - in UTC
        }
    )
    wanted = {"customerNo", "kind", "form", "rate", "nothing", "pair", "at"}
    expected = {"customerNo": "1", "kind": "k", "form": "f", "rate": "NaN", "pair": ["a", "b"], "at": "2026-11-20T00:00:00+01:00"}
    assert rows(frame, wanted) == [expected]
    with pytest.raises(SourceError, match=r'column "wide" .*pyarrow does not know the type Int128: cast it'):
        rows(frame, {"wide"})
    for given in (frame, frame.drop("wide")):
        with pytest.raises(SourceError, match=r'column "thing" .*pyarrow does not know the type Object: cast it'):
            rows(given, {"thing"})


def test_a_frame_of_pandas_has_floats_for_integers_with_gaps_and_nothing_for_nan():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"customerNo": [10001, None], "rate": [0.5, float("nan")], "kind": pd.Categorical(["a", None])})
    table = arrow_table_of(frame)
    assert rows_of(table) == ([{"customerNo": "10001.0", "rate": "0.5", "kind": "a"}, {}], [])
    assert table.origins == ["float", "float", "text"]
    assert rows(pd.DataFrame({"customerNo": pd.array([10001, None], "Int64")})) == [{"customerNo": "10001"}, {}]


def test_an_index_of_pandas_is_a_column_where_it_has_a_name():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"customerNo": ["1", "2", "3"], "name": ["a", "b", "c"]})
    assert rows(frame[frame.name != "b"].sort_values("name", ascending=False)) == [
        {"customerNo": "3", "name": "c"},
        {"customerNo": "1", "name": "a"},
    ]
    assert rows(frame.set_index("customerNo")) == rows(frame)
    content = io.BytesIO()
    frame[frame.name != "b"].to_parquet(content)
    table = parquet(content.getvalue())
    assert rows_of(table)[0] == [{"customerNo": "1", "name": "a"}, {"customerNo": "3", "name": "c"}]
    assert table.names == ["customerNo", "name"]


def test_values_of_several_types_in_pandas_matter_only_where_they_are_wanted():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"customerNo": ["1", "2"], "mixed": pd.Series([1, "y"], dtype=object), "name": ["a", "b"]})
    for given, key in ((frame, "customerNo"), (frame.set_index("customerNo"), "customerNo")):
        assert rows(given, {key, "name"}) == [{"customerNo": "1", "name": "a"}, {"customerNo": "2", "name": "b"}]
    with pytest.raises(SourceError, match=r'column "mixed" .*several types.*\.astype\("string"\)') as raised:
        rows(frame, {"customerNo", "mixed"})
    assert "'y'" not in str(raised.value)
    periods = pd.DataFrame({"customerNo": ["1"], "month": pd.period_range("2026-01", periods=1, freq="M")})
    assert rows(periods, {"customerNo"}) == [{"customerNo": "1"}]
    with pytest.raises(SourceError, match=r'column "month" is of type extension.*make it a text or a number'):
        rows(periods, {"month"})


@pytest.mark.filterwarnings("ignore:The DataFrame has column names of mixed type")
def test_names_of_columns_may_be_no_texts_or_be_there_twice():
    pd = pytest.importorskip("pandas")
    table = arrow_table_of(pd.DataFrame([[1, 2]], columns=[0, 1.5]))
    assert rows_of(table) == ([{"0.0": "1", "1.5": "2"}], [])
    for given in (pd.DataFrame([["x", "y"]], columns=["a", "a"]), pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], ["a", "a"])):
        table = opened(arrow_table_of(given))
        (block,) = table.blocks()
        assert (table.names, block.columns) == (["a", "a"], [["x"], ["y"]])
    table = opened(parquet(file_of(pa.Table.from_arrays([pa.array(["x"]), pa.array([1]), pa.array(["y"])], ["a", "b", "a"]))), {"a"})
    (block,) = table.blocks()
    assert (table.names, block.columns) == (["a", "b", "a"], [["x"], (), ["y"]])


def test_a_relation_of_duckdb_has_types_of_its_own():
    connection = pytest.importorskip("duckdb").connect()
    connection.sql("SET TimeZone = 'Europe/Oslo'")
    relation = connection.sql(
        "SELECT 10001::HUGEINT AS a, 'x'::ENUM('w', 'x') AS b, TIMESTAMPTZ '2026-11-20 00:00:00' AS c, NULL AS d, "
        "{'e': 1.5::DECIMAL(18,3)} AS s, uuid() AS u, INTERVAL 1 DAY AS i, MAP{'k': 1} AS m"
    )
    table = arrow_table_of(relation)
    found, _ = rows_of(table, {"a", "b", "c", "d", "s.e"})
    instant = found[0].pop("c")
    assert datetime.fromisoformat(instant).timestamp() == 1795129200
    assert found == [{"a": "10001", "b": "x", "s.e": "1.500"}]
    assert table.origins[:3] == ["integer", "text", "instant"]
    with pytest.raises(SourceError, match=r'column "m" is of type map.*make it a struct'):
        rows(relation, {"m"})
    with pytest.raises(SourceError, match='column "i" is of type month_day_nano_interval'):
        rows(relation, {"i"})


def test_a_query_that_fails_in_the_middle_says_where():
    connection = pytest.importorskip("duckdb").connect()
    relation = connection.sql("SELECT CASE WHEN range = 400000 THEN error('secret') ELSE range::VARCHAR END AS a FROM range(1000000)")
    count = 0
    with pytest.raises(SourceError, match=r"it can't be read (after row \d+|before its first row) \(\w+\)") as raised:
        for block in opened(arrow_table_of(relation)).blocks():
            count += len(block.numbers)
    assert "secret" not in str(raised.value)
    assert f"after row {count}" in str(raised.value) or count == 0


# --- cells that can't be read --------------------------------------------------------------------------------------------------------


def texts_with_bytes(*cells):
    array = pa.array(cells, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(cells), array.buffers())


def test_a_cell_that_is_not_utf8_costs_its_row_and_no_other():
    given = pa.table(
        {"customerNo": ["1", "2", "3", "4"], "name": texts_with_bytes(b"a", b"Troms\xf8", b"c", b"\xff"), "dueDays": [1, 2, 3, 4]}
    )
    found, broken = rows_of(arrow_table_of(given))
    assert [row["customerNo"] for row in found] == ["1", "3"]
    assert [(row.before, row.number, row.fault) for row in broken] == [
        (1, 2, 'column "name": not UTF-8'),
        (2, 4, 'column "name": not UTF-8'),
    ]
    assert broken[0].as_read == {"customerNo": "2", "dueDays": "2"}
    assert rows(given, {"customerNo"}) == [{"customerNo": str(number)} for number in range(1, 5)]


def test_dates_beyond_any_calendar_cost_their_row():
    given = pa.table({"customerNo": ["1", "2"], "dateOfBirth": pa.array([2**31 - 1, 0], pa.int32()).cast(pa.date32())})
    found, broken = rows_of(arrow_table_of(given))
    assert found == [{"customerNo": "2", "dateOfBirth": "1970-01-01"}]
    assert [(row.before, row.number) for row in broken] == [(0, 1)]
    assert broken[0].fault == 'column "dateOfBirth": no value of its type date32[day] that can be read'


def test_a_line_that_is_not_utf8_costs_its_document():
    texts = pa.StructArray.from_arrays([texts_with_bytes(b"a", b"\xff", b"c"), pa.array([1, 2, 3])], ["lineText", "lineNo"])
    given = pa.table({"documentNo": ["1", "2", "3"], "documentLines": pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), texts)})
    found, broken = rows_of(arrow_table_of(given))
    assert found == [
        {"documentNo": number, "lines": [{"documentLines.lineText": text, "documentLines.lineNo": number}]} for number, text in ("1a", "3c")
    ]
    assert broken == [BrokenRow(1, 2, 'column "documentLines.lineText": not UTF-8', {"documentNo": "2", "documentLines.lineNo": ["2"]})]


def test_rows_that_are_all_broken_leave_nothing_behind():
    given = pa.table({"name": texts_with_bytes(b"\xff", b"\xfe"), "a": ["1", "2"]})
    found, broken = rows_of(arrow_table_of(given))
    assert (found, len(broken)) == ([], 2)


# --- batches and files that differ ----------------------------------------------------------------------------------------------------


def test_columns_of_a_further_batch_may_stand_in_another_order_or_hold_nothing():
    first, second = pa.table({"a": ["1"], "b": [1]}), pa.table({"b": pa.nulls(1), "a": pa.array(["2"], pa.large_string())})
    assert rows([first, second]) == [{"a": "1", "b": "1"}, {"a": "2"}]
    with_lines, without = pa.table({"a": ["1"], "l": [[{"x": 1}]]}), pa.table({"a": ["2"], "l": pa.array([[]], pa.list_(pa.null()))})
    assert rows([with_lines, without, with_lines]) == [
        {"a": "1", "lines": [{"l.x": "1"}]},
        {"a": "2", "lines": []},
        {"a": "1", "lines": [{"l.x": "1"}]},
    ]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": ["2"]}, r'column "b" is missing, which was there before'),
        ({"a": ["2"], "b": [1], "c": [1]}, r'column "c" was not there before'),
        ({"a": ["2"], "b": [1.5]}, r'column "b" is of type double, and was int64 before'),
        ({"a": ["2"], "b": [[1]]}, r'column "b" is of type list<.*>, and was int64 before'),
        ({"a": [b"2"], "b": [1]}, r'column "a" is of type binary, which is no text'),
    ],
)
def test_a_batch_or_a_file_with_other_columns_is_named(second, message):
    first = {"a": ["1"], "b": [1]}
    table = opened(arrow_table_of([pa.table(first), pa.table(second)]))
    blocks = table.blocks()
    assert next(blocks).columns == [["1"], ["1"]]
    with pytest.raises(SourceError, match=message):
        next(blocks)
    table = parquet(file_of(pa.table(first)), file_of(pa.table(second)))
    # Before a row is read.
    with pytest.raises(SourceError, match=f"part-1.parquet: {message}"):
        opened(table, {"a", "b"})
    with_extra = pa.table(first), pa.table({"a": ["2"], "b": [1.5]})
    assert rows(list(with_extra), {"a"}) == [{"a": "1"}, {"a": "2"}]


def test_a_column_that_holds_nothing_in_the_first_file_has_the_type_of_a_further_one():
    first, second = pa.table({"a": ["1"], "b": pa.nulls(1)}), pa.table({"a": ["2"], "b": [5]})
    table = parquet(file_of(first), file_of(second))
    assert rows_of(table) == ([{"a": "1"}, {"a": "2", "b": "5"}], [])
    assert table.origins == ["text", "integer"]
    assert table.row_count == 2


def test_folders_that_name_a_value_are_columns():
    content = file_of(pa.table({"a": ["1"]}))
    names = ["year=2026/type=I%2FN/x.parquet", "year=__HIVE_DEFAULT_PARTITION__/type=CN/x.parquet"]
    table = parquet(content, content, names=names)
    assert rows_of(table) == ([{"a": "1", "year": "2026", "type": "I/N"}, {"a": "1", "type": "CN"}], [])
    assert table.names == ["a", "year", "type"]
    # Where the file has the column too, its values count.
    assert rows_of(parquet(content, names=["a=7/x.parquet"]))[0] == [{"a": "1"}]


# --- damage and memory -------------------------------------------------------------------------------------------------------------


def test_a_damaged_file_says_how_far_it_came():
    content = bytearray(file_of(pa.table({"customerNo": [str(number) for number in range(30)]}), row_group_size=10, compression="gzip"))
    with pytest.raises(SourceError, match=r"it is not a valid Parquet file before its first row \(\w+\): make it again"):
        opened(parquet(bytes(content[:-50])))
    chunk = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1).column(0)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + 40] = bytes(40)
    found = []
    with pytest.raises(SourceError, match=r"it is not a valid Parquet file after row 10 \(\w+\): make it again"):
        for block in opened(parquet(bytes(content))).blocks():
            found += block.columns[0]
    assert found == [str(number) for number in range(10)]


def test_a_file_that_can_not_be_opened_is_named():
    def missing():
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(SourceError, match=r"b\.parquet: it can't be read before its first row \(No such file or directory\)"):
        opened(parquet_table([("a.parquet", lambda: io.BytesIO(file_of(pa.table({"a": [1]})))), ("b.parquet", missing)]))


def test_memory_does_not_grow_with_the_frame_or_the_file(tmp_path):
    path = tmp_path / "file"
    numbers = list(map(str, range(300_000)))
    given = pa.table({"customerNo": numbers, "name": numbers, "dueDays": [14] * 300_000})
    pq.write_table(given, path)

    def read(table):
        return sum(len(block.numbers) for block in opened(table).blocks())

    read(parquet_table([("file", lambda: path.open("rb"))]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        assert read(arrow_table_of(given)) == 300_000
        assert read(parquet_table([("file", lambda: path.open("rb"))])) == 300_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_files_are_closed(tmp_path):
    files = []

    def open_file():
        files.append(io.BytesIO(file_of(pa.table({"a": list(range(3000))}), row_group_size=100)))
        return files[-1]

    table = opened(parquet_table([("a", open_file)]))
    assert [file.closed for file in files] == [True]
    blocks = table.blocks()
    next(blocks)
    assert [file.closed for file in files] == [True, False]
    blocks.close()
    assert [file.closed for file in files] == [True, True]
    table.close()
