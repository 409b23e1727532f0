"""Made-up records that every client has until a test seeds its own, so that a first call shows something.

No page shows a record of these kinds: the names of the fields are made up like the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RECORDS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "client_configs": (
        {"key": "defaultCurrency", "value": "NOK"},
        {"key": "defaultLanguage", "value": "no"},
        {"key": "defaultDueDays", "value": 14},
    ),
    "codes": (
        {"codeType": "documentType", "code": "IN", "text": "Invoice"},
        {"codeType": "customerCategory", "code": "CONS", "text": "Consumer"},
        {"codeType": "lineType", "code": "TXT", "text": "Text line"},
    ),
    "document_bundles": (
        {"documentBundleId": 600_001, "createdDate": "2026-01-05", "documentCount": 2},
        {"documentBundleId": 600_002, "createdDate": "2026-02-05", "documentCount": 3},
    ),
    "gl_movements": (
        {"year": 2026, "period": 1, "closed": True, "glAccountNo": "1500", "movement": 1250, "balance": 1250},
        {"year": 2026, "period": 2, "closed": True, "glAccountNo": "1500", "movement": -250, "balance": 1000},
        {"year": 2026, "period": 3, "closed": False, "glAccountNo": "1500", "movement": 500, "balance": 1500},
    ),
    "log_items": (
        {"logItemId": 800_001, "logDate": "2026-01-05", "logText": "Customer created"},
        {"logItemId": 800_002, "logDate": "2026-01-06", "logText": "Document created"},
    ),
    "adb_intervals": (
        {"intervalNo": 1, "fromDays": 0, "toDays": 30},
        {"intervalNo": 2, "fromDays": 31, "toDays": 60},
        {"intervalNo": 3, "fromDays": 61},
    ),
}
