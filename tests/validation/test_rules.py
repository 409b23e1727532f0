"""What holds for the fields of documents together: found by column as it is in each document on its own."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async.validation.examiner import Examiner

from .by_hand import AMOUNTS, faults_together

pytestmark = pytest.mark.quick

TOGETHER = {"missing", "no_document_no", "due_before_date", "amounts", "lines"}

encode = msgspec.json.Encoder(decimal_format="number").encode
days = st.sampled_from([None, "", "2026-01-01", "2026-01-02", "2025-12-31"])
numbers = st.sampled_from([0, 1, 2, 3, Decimal("0.1"), Decimal("0.2"), Decimal("0.3"), Decimal(-1), Decimal("1e40"), None])
amounts = st.fixed_dictionaries({}, optional=dict.fromkeys(AMOUNTS, numbers)) | st.builds(
    lambda excl, vat: {"exclVat": excl, "vat": vat, "inclVat": excl + vat}, st.integers(0, 3), st.integers(0, 3)
)
lines = st.lists(
    st.fixed_dictionaries({}, optional={"lineType": st.sampled_from(["PLH", "TXT", "txt", ""]), "currencyAmounts": amounts | st.none()}),
    max_size=3,
)


def summed(document):
    """The document with the sums of its lines in the header."""
    given = [line["currencyAmounts"] for line in document.get("documentLines", ()) if line.get("currencyAmounts")]
    return document | {"currencyAmounts": {name: sum(one.get(name) or 0 for one in given) for name in AMOUNTS}}


documents = st.fixed_dictionaries(
    {},
    optional={
        "customerNo": st.sampled_from(["1", "", " ", None]),
        "documentNo": st.sampled_from(["9", "", None]),
        "documentType": st.sampled_from(["IN", "", " "]),
        "documentDate": days,
        "dueDate": days,
        "currencyAmounts": amounts | st.none(),
        "documentLines": lines,
    },
)


@given(st.lists(documents | documents.map(summed), max_size=6))
def test_documents_are_judged_by_column_as_by_hand(given):
    checked = Examiner("documents", None).check([encode(document) for document in given])
    found = [
        {(fault.code, fault.path) for fault in checked.faults.get(position, ()) if fault.code in TOGETHER} for position in range(len(given))
    ]
    assert found == [faults_together(document) for document in given]


def test_the_sum_of_one_document_does_not_touch_the_next():
    far = {"currencyAmounts": {"vat": 1}, "documentLines": [{"currencyAmounts": {"vat": Decimal("1e300")}}]}
    near = {
        "currencyAmounts": {"vat": Decimal("0.3")},
        "documentLines": [{"currencyAmounts": {"vat": Decimal(part)}} for part in ("0.1", "0.2")],
    }
    checked = Examiner("documents", None).check([encode(document) for document in (near, far, near)])
    assert [position for position, faults in checked.faults.items() if any(fault.code == "lines" for fault in faults)] == [1]
