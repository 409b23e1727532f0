"""The house: rooms in one direction, one importer of aiohttp's client, one clock, pure rooms that stay pure, modules of a size to read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import amili_arm_async

PACKAGE = Path(amili_arm_async.__file__).parent
ROOMS = [
    "__init__",
    "spark",
    "cli",
    "sandbox",
    "blocking",
    "client",
    "resources",
    "nightly",
    "sync",
    "validation",
    "sources",
    "bulk",
    "values",
    "postgres",
    "sqlite",
    "paging",
    "transport",
    "environment",
    "connections",
    "proxies",
    "certificates",
    "telemetry",
    "attempts",
    "auth",
    "pacing",
    "secret_files",
    "wire",
    "endpoints",
    "uploads",
    "models",
    "codec",
    "retry",
    "config",
    "database",
    "compression",
    "unreadable",
    "files",
    "errors",
    "log",
    "clock",
]
"""From top to bottom: a room imports only from rooms below it."""

PURE = [
    "bulk.chunking",
    "bulk.copies",
    "bulk.fingerprints",
    "bulk.journal.matching",
    "bulk.journal.deferred",
    "bulk.number_forms",
    "bulk.outcomes",
    "bulk.parts",
    "bulk.reasons",
    "bulk.report",
    "bulk.slots",
    "cli.html_report.charts",
    "cli.html_report.failures",
    "cli.html_report.markup",
    "cli.html_report.page",
    "cli.html_report.sections",
    "cli.html_report.summary",
    "cli.report_wording",
    "cli.wording",
    "compression",
    "database.url",
    "endpoints",
    "nightly.report",
    "proxies",
    "retry",
    "sandbox.fault_checks",
    "sources.likeness",
    "sources.documents",
    "sources.encode",
    "sources.json_records",
    "sources.judged",
    "sources.mapping",
    "sources.numbers",
    "sources.record_blocks",
    "sources.refusals",
    "sources.table_records",
    "sync.digests",
    "validation.examiner",
    "validation.report",
    "validation.rules",
    "validation.shapes",
    "values.cells",
    "values.check_digits",
    "values.columns",
    "values.dates",
    "values.fields",
    "values.findings",
    "values.formats",
    "values.forms",
    "values.json_columns",
    "values.json_judge",
    "values.judge",
    "values.numbers",
    "values.rows",
    "values.texts",
    "values.words",
    "wire",
]
"""Rooms without I/O and without a clock, tested without a loop."""

IMPURE = {
    "aiohttp",
    "anyio",
    "asyncio",
    "http",
    "os",
    "pathlib",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}


def modules() -> dict[str, Path]:
    """Every module of the package by its name below it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


MODULES = modules()
NAMES = sorted(MODULES)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that the program runs: what is under `if TYPE_CHECKING` is for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from running(other)
        else:
            yield child
            yield from running(child)


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    """All nodes of a module that the program runs."""
    return tuple(running(tree(module)))


@cache
def walked(module: str) -> tuple[ast.AST, ...]:
    """All nodes of a module."""
    return tuple(ast.walk(tree(module)))


@cache
def imports(module: str) -> tuple[tuple[str, str], ...]:
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[tuple[str, str]]:
    """What a module imports, as (module, name); a module of this package begins with a dot and is whole."""
    package = module.split(".") if MODULES[module].name == "__init__.py" and module != "__init__" else module.split(".")[:-1]
    for node in nodes(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _ours(alias.name), ""
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                if not node.level:
                    yield _ours(f"{node.module}.{alias.name}" if f"{node.module}" == "amili_arm_async" else str(node.module)), alias.name
                elif ".".join([*base, alias.name]) in MODULES:
                    yield "." + ".".join([*base, alias.name]), ""
                else:
                    yield "." + (".".join(base) or "__init__"), alias.name


def _ours(name: str) -> str:
    head, _, rest = name.partition(".")
    return f".{rest or '__init__'}" if head == "amili_arm_async" else name


def room_of(module: str) -> str:
    return module.lstrip(".").split(".")[0]


def test_every_module_is_in_a_room_of_the_house() -> None:
    assert {room_of(module) for module in NAMES} <= set(ROOMS)


def test_a_room_imports_only_from_rooms_below_it() -> None:
    # Two rooms are for people: they may also say the version of the whole.
    upwards = [
        f"{module} imports {target}.{name}".rstrip(".")
        for module in NAMES
        for target, name in imports(module)
        if target.startswith(".") and room_of(target) != room_of(module) and name != "__version__"
        if ROOMS.index(room_of(target)) <= ROOMS.index(room_of(module))
    ]
    assert upwards == []


def test_only_the_connections_import_the_client_of_aiohttp() -> None:
    importers = {
        module
        for module in NAMES
        for target, name in imports(module)
        if target.split(".")[0] == "aiohttp" and name != "web" and target != "aiohttp.web"
        # fsspec wants its time-out as one of aiohttp.
        if (module, name) != ("sources.remote", "ClientTimeout")
    }
    assert importers == {"connections"}


def test_only_the_clock_reads_the_time_and_sleeps() -> None:
    forbidden = ("asyncio.sleep", "anyio.sleep", "anyio.current_time", "datetime.now", "datetime.utcnow", "date.today", "datetime.today")
    forbidden += ("loop.time", "get_running_loop().time")
    found = []
    for module in NAMES:
        if module == "clock":
            continue
        found += [f"{module} imports time" for target, _ in imports(module) if target.split(".")[0] == "time"]
        called = {ast.unparse(node.func) for node in nodes(module) if isinstance(node, ast.Call)}
        found += [f"{module} calls {call}" for call in sorted(called) if call.endswith(forbidden)]
    assert found == []


def test_a_pure_room_does_no_io_and_reads_no_clock() -> None:
    impure = IMPURE | {".clock", ".transport", ".connections", ".auth", ".paging"}
    found = []
    for module in PURE:
        targets = {target if target.startswith(".") else target.split(".")[0] for target, _ in imports(module)}
        found += [f"{module} imports {target}" for target in sorted(targets & impure)]
        if any(isinstance(node, (ast.AsyncFunctionDef, ast.Await)) for node in nodes(module)):
            found.append(f"{module} is asynchronous")
    assert found == []


def test_models_are_inert() -> None:
    allowed = {"__future__", "collections", "dataclasses", "datetime", "decimal", "msgspec", "re", "typing"}
    models = [name for name in NAMES if room_of(name) == "models"]
    assert len(models) > 1
    found = [
        f"{module} imports {target}"
        for module in models
        for target, _ in imports(module)
        if (room_of(target) != "models" if target.startswith(".") else target.split(".")[0] not in allowed)
    ]
    assert found == []


def test_no_function_is_longer_than_50_lines_of_code() -> None:
    long = {}
    for module in NAMES:
        for node in walked(module):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                has_doc = ast.get_docstring(node) is not None
                first = node.body[1] if has_doc and len(node.body) > 1 else node.body[0]
                length = (node.end_lineno or 0) - first.lineno + 1
                if length > 50:
                    long[f"{module}.{node.name}"] = length
    assert long == {}


def test_there_is_no_task_group_around_a_yield() -> None:
    around = []
    for module in NAMES:
        for node in walked(module):
            if isinstance(node, ast.AsyncWith) and any(
                "TaskGroup" in (text := ast.unparse(item)) or "task_group" in text for item in node.items
            ):
                inside = [child for statement in node.body for child in ast.walk(statement)]
                if any(isinstance(child, (ast.Yield, ast.YieldFrom)) for child in inside):
                    around.append(module)
    assert around == []


def test_no_error_is_raised_as_its_own_cause() -> None:
    # Whoever follows the causes of an error would never come to an end.
    found = [
        f"{module}, line {node.lineno}"
        for module in NAMES
        for node in walked(module)
        if isinstance(node, ast.Raise) and isinstance(node.cause, ast.Name) and isinstance(node.exc, (ast.IfExp, ast.BoolOp, ast.Name))
        if node.cause.id in {name.id for name in ast.iter_child_nodes(node.exc) if isinstance(name, ast.Name)} | {ast.unparse(node.exc)}
    ]
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    assert [module for module in NAMES if not ast.get_docstring(tree(module))] == []


def test_importing_the_package_imports_nothing_that_only_some_need() -> None:
    import subprocess
    import sys

    program = "import sys, amili_arm_async; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout.split())
    assert {"structlog", "typer", "rich", "sqlite3", "pytest", "anyio"} & loaded == set()
    of_runs = ("bulk.chunking", "bulk.outcomes", "bulk.report", "bulk.run", "resources.bulk", "sync.run", "sources.arrow")
    assert {f"amili_arm_async.{name}" for name in of_runs} & loaded == set()


def test_only_rooms_with_files_of_sqlite_import_it() -> None:
    # What needs the journal gets it by `bulk.journal.factory`, as the protocols of `bulk.journal.protocol`.
    importers = {module for module in NAMES for target, _ in imports(module) if target == "sqlite3"}
    rooms = ("sqlite", "sync", "sandbox", "bulk.journal", "nightly.customer_numbers", "sources.lines_table")
    assert [module for module in sorted(importers) if not module.startswith(rooms)] == []
    users = {module for module in NAMES for target, _ in imports(module) if target.startswith(".bulk.journal.sqlite")}
    assert [module for module in sorted(users) if not module.startswith("bulk.journal")] == []


def test_the_event_loop_touches_no_field_of_a_run_store() -> None:
    # It is owned by the thread of the journal: the loop only names methods for the thread to call.
    (store,) = (node for node in ast.walk(tree("bulk.journal.sqlite.store")) if isinstance(node, ast.ClassDef) and node.name == "RunStore")
    fields = {node.target.id for node in store.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    assert {"index", "entered", "mark"} <= fields
    found = [
        f"{module}: {ast.unparse(node)}"
        for module in ("bulk.journal.sqlite.journal", "bulk.journal.sqlite.reconcile_store")
        for node in walked(module)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("_store") and node.attr in fields - {"index_wanted"}
    ]
    assert found == []


STATUSES_APART = {"cli.doctor", "errors", "models.json_records", "retry"}
"""Modules with HTTP statuses of their own: a remedy; the class and the hint of an error; a multi-status; the table. So are `PROBE_APART`,
which ask whether the service answers as its pages say."""

PROBE_APART = {f"cli.probe.{name}" for name in ("assumptions", "evidence", "lists", "masking", "records")}


def _holds_a_status(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Constant) and type(one.value) is int and 100 <= one.value < 600 for one in ast.walk(node))


def test_only_the_table_of_statuses_decides_by_a_status() -> None:
    found = set()
    for module in NAMES:
        for node in nodes(module):
            is_compared = isinstance(node, ast.Compare) and "status" in ast.unparse(node) and _holds_a_status(node)
            is_listed = isinstance(node, (ast.Set, ast.Dict)) and sum(map(_holds_a_status, ast.iter_child_nodes(node))) > 1
            if room_of(module) != "sandbox" and (is_compared or is_listed):
                found.add(module)
    assert found == STATUSES_APART | PROBE_APART


def test_a_group_that_a_pattern_repeats_without_going_back_is_atomic() -> None:
    """Else it may match something else before Python 3.11.5: see sources/json_tokens.py."""
    bare = re.compile(r"(?<!\))\)[*+?]\+")
    assert [str(path) for path in PACKAGE.rglob("*.py") if bare.search(path.read_text("utf-8"))] == []
