"""The face: `__all__` sorted and complete, every name documented, every field with its meaning."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

import amili_arm_async
from amili_arm_async import ArmClient, ArmError, BulkOptions, Limits, Reconcile, RetryPolicy, Timeout, config, errors
from amili_arm_async.models.base import Input, Record

pytestmark = pytest.mark.quick

NAMES = list(amili_arm_async.__all__)
CLASSES = [getattr(amili_arm_async, name) for name in NAMES if inspect.isclass(getattr(amili_arm_async, name))]
ROOMS = [type(room) for name, room in vars(ArmClient(1, auth="t", base_url="https://h")).items() if not name.startswith("_")]


def subclasses(cls: type) -> set[type]:
    return {cls} | {below for child in cls.__subclasses__() for below in subclasses(child)}


def test_all_is_sorted_constants_first() -> None:
    assert sorted(NAMES, key=lambda name: (not name.isupper(), name)) == NAMES
    assert len(set(NAMES)) == len(NAMES)


def test_all_is_every_public_name() -> None:
    public = {name for name, value in vars(amili_arm_async).items() if not name.startswith("_") and not isinstance(value, ModuleType)}
    later = {name for names in amili_arm_async._LATER.values() for name in names}
    assert public | later == set(NAMES)
    assert all(hasattr(amili_arm_async, name) for name in later)
    assert set(NAMES) <= set(dir(amili_arm_async))


def test_every_error_and_every_struct_can_be_imported_from_the_face() -> None:
    ours = {cls for base in (ArmError, Input, Record) for cls in subclasses(base) if cls.__module__.startswith("amili_arm_async.")}
    assert {cls.__name__ for cls in ours - {Input, Record}} <= set(NAMES)


def test_the_names_that_the_contract_fixes_are_there() -> None:
    face = "ArmClient BulkOptions ClientCredentials Customer Document STAGING Timeout RetryPolicy Limits BatchWords TokenSource"
    read = "BulkReport BulkRun BatchReceipt BatchResult CustomerRecord DocumentRecord Response Pager"
    tree = "ArmError ConfigurationError RecordError NotSentError OutcomeUnknownError ResponseError StatusError TruncatedListError BulkError"
    by_status = "BadRequest Unauthorized Forbidden NotFound NotAcceptable Conflict PayloadTooLarge Unprocessable RateLimited Server"
    fixed = {*face.split(), *read.split(), *tree.split(), *(f"{name}Error" for name in by_status.split())}
    assert fixed <= set(NAMES)


def test_every_class_is_documented_by_itself() -> None:
    docs = {cls.__name__: cls.__dict__.get("__doc__") or "" for cls in CLASSES}
    # A dataclass without a docstring of its own gets its signature.
    assert [name for name, doc in docs.items() if not doc or doc.startswith(f"{name}(")] == []


def test_every_public_method_is_documented() -> None:
    bare = []
    for cls in [*CLASSES, *ROOMS]:
        own = {name: value for name, value in vars(cls).items() if not name.startswith("_")}
        members = {name: getattr(value, "__func__", getattr(value, "fget", value)) for name, value in own.items()}
        bare += [f"{cls.__name__}.{name}" for name, value in members.items() if inspect.isfunction(value) and not value.__doc__]
    assert bare == []


def test_every_constant_is_documented_below_it() -> None:
    body = ast.parse(Path(config.__file__).read_text("utf-8")).body
    for name in (name for name in NAMES if name.isupper()):
        (place,) = [number for number, node in enumerate(body) if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name]
        below = body[place + 1]
        assert isinstance(below, ast.Expr)
        assert isinstance(ast.literal_eval(below.value), str)


def fields_of(cls: Any) -> list[str]:
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    return list(cls.__struct_fields__) if issubclass(cls, msgspec.Struct) else []


def test_every_field_has_its_meaning_in_the_docstring() -> None:
    missing = []
    for cls in CLASSES:
        doc = inspect.cleandoc(cls.__doc__ or "")
        if issubclass(cls, Record):
            sent = getattr(amili_arm_async, cls.__name__.removesuffix("Record"), None)
            doc += inspect.cleandoc(Record.__doc__ or "") + (inspect.cleandoc(sent.__doc__) if sent is not None else "")
        documented = {part.strip() for line in doc.splitlines() if ":" in line for part in line.partition(":")[0].split(",")}
        missing += [f"{cls.__name__}.{name}" for name in fields_of(cls) if name not in documented and f"`{name}`" not in doc]
    assert missing == []


def test_the_documented_default_of_a_setting_is_the_one_it_has() -> None:
    wrong = {}
    for cls in (Timeout, RetryPolicy, Limits, Reconcile, BulkOptions):
        for field in dataclasses.fields(cls):
            if isinstance(field.default, (int, float)) and not isinstance(field.default, bool):
                found = re.search(rf"^\s+{field.name}: .*?Default\s+([\d.,]*\d)", cls.__doc__ or "", re.DOTALL | re.MULTILINE)
                if found is None or float(found[1].replace(",", "")) != field.default:
                    wrong[f"{cls.__name__}.{field.name}"] = (found and found[1], field.default)
    assert wrong == {}


def test_what_is_settable_on_the_client_is_documented() -> None:
    parameters = set(inspect.signature(ArmClient.__init__).parameters) - {"self"}
    told = inspect.cleandoc(ArmClient.__doc__ or "")
    assert [name for name in parameters if f"{name}:" not in told] == []


def test_each_error_says_what_can_be_done_now() -> None:
    drawn = inspect.getdoc(errors)
    assert drawn is not None
    assert all(name in drawn for name in NAMES if name.endswith("Error"))


def test_the_version_is_one() -> None:
    assert [part.isdecimal() for part in amili_arm_async.__version__.split(".")] == [True] * 3
