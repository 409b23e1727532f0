"""The fields of records that a column of a table can hold."""

from __future__ import annotations

import subprocess
import sys

from amili_arm_async.values.fields import fields_of


def test_the_fields_are_there_where_python_keeps_no_docstrings():
    code = "from amili_arm_async.values.fields import fields_of; print(*fields_of('documents'))"
    found = subprocess.run([sys.executable, "-OO", "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert found == list(fields_of("documents"))
