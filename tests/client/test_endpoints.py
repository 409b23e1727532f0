"""The table of operations: complete, without doubles, and unsafe unless the pages say otherwise."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from amili_arm_async import ArmClient, ConfigurationError
from amili_arm_async.endpoints import IDENTITY, OPERATIONS, TOKEN_SERVICE, find, with_paths

pytestmark = pytest.mark.quick

DOCS = Path(__file__).parents[2] / "docs"

NAVIGATION = {
    "Actions": {"POST (create) an action": "actions.create", "POST (create) a reports action/generate a report": "actions.create_report"},
    "ArItems": {
        "GET a list of AR items": "ar_items.list",
        "PUT (update) ar item details": "ar_items.update",
        "GET one AR item": "ar_items.get",
    },
    "AutoPostings": {"POST (create) one or more auto postings": "auto_postings.create"},
    "Batches": {"GET one batch": "batches.get"},
    "ClientConfigs": {
        "GET a list of client config values": "client_configs.list",
        "GET values for one client config key": "client_configs.get",
    },
    "Codes": {"GET ARM system code values": "codes.get"},
    "Customers": {
        "POST (create) one customer": "customers.create",
        "PUT (update) one customer": "customers.update",
        "GET a list of customers": "customers.list",
        "GET one customer": "customers.get",
        "DELETE a customer": "customers.delete",
        "POST (create) a batch of customers": "customers.create_batch",
        "PUT (update) a batch of customers": "customers.update_batch",
    },
    "DocumentBundles": {"GET a list of document bundles": "document_bundles.list", "GET one document bundle": "document_bundles.get"},
    "Documents": {
        "POST (create) one document": "documents.create",
        "GET a list of documents": "documents.list",
        "GET one document": "documents.get",
        "POST (create) a batch of documents": "documents.create_batch",
    },
    "Files": {
        "GET one or more OS files": "files.list",
        "POST (upload) one or more OS files": "files.upload",
        "GET one OS file": "files.get",
    },
    "GlItems": {"Get one GL item": "gl_items.get", "GET a list of GL items": "gl_items.list"},
    "GlMovements": {
        "Get movement/balance for the latest closed GL year/period": "gl_movements.latest_closed",
        "GET a list of GL movements/balances": "gl_movements.list",
    },
    "Insights": {"GET a list of ADB intervals": "insights.adb_intervals"},
    "LogItems": {"GET one log item": "log_items.get", "GET a list of log items": "log_items.list"},
    "PaymentReservations": {"POST (create) a new payment reservation": "payment_reservations.create"},
    "Health": {"Check API health": "health.check"},
}
"""The sections and pages under "Accounts Receivable" in the navigation of the vendor's pages, in its order, and their operations."""


def navigation() -> dict[str, list[str]]:
    """Sections and titles in the copy of the navigation."""
    found: dict[str, list[str]] = {}
    for line in (Path(__file__).parents[1] / "samples" / "navigation.txt").read_text("utf-8").splitlines()[1:]:
        depth, _, title = line.partition("• ")
        if title and len(depth) == 4:
            found[title] = []
        elif title:
            found[list(found)[-1]].append(title)
    return found


SHOWN = {
    "customers.create": "POST clients/{clientno}/customers",
    "customers.update": "PUT clients/{clientno}/customers",
    "customers.list": "GET clients/{clientno}/customers",
    "customers.get": "GET clients/{clientno}/customers/{customerno}",
    "customers.delete": "DELETE clients/{clientno}/customers/{customerno}",
    "customers.create_batch": "POST clients/{clientno}/customers/batches",
    "customers.update_batch": "PUT clients/{clientno}/customers/batches",
    "batches.get": "GET clients/{clientno}/batches/{batchuuid}",
    "documents.create": "POST clients/{clientno}/documents",
    "documents.create_batch": "POST clients/{clientno}/documents/batches",
    "documents.get": "GET clients/{clientno}/documents/{documentno}",
    "ar_items.list": "GET clients/{clientno}/aritems",
    "ar_items.get": "GET clients/{clientno}/aritems/{aritemid}",
    "ar_items.update": "PUT clients/{clientno}/aritems",
    "auto_postings.create": "POST clients/{clientno}/autopostings/{autopostingmethod}",
    "payment_reservations.create": "POST clients/{clientno}/paymentreservations",
    "files.upload": "POST clients/{clientno}/files",
    "gl_items.get": "GET clients/{clientno}/glitems/{glitemid}",
    "gl_items.list": "GET clients/{clientno}/glitems",
}
"""Method and path of every operation whose page shows them."""


def test_every_entry_of_the_navigation_is_there_and_nothing_else() -> None:
    assert {section: list(titles) for section, titles in NAVIGATION.items()} == navigation()
    assert sorted(OPERATIONS) == sorted(name for titles in NAVIGATION.values() for name in titles.values())


def test_every_operation_has_the_method_that_its_title_names() -> None:
    titles = {name: title for titles in NAVIGATION.values() for title, name in titles.items()}
    assert {name: row.method for name, row in OPERATIONS.items()} == {
        name: title.partition(" ")[0].upper().replace("CHECK", "GET") for name, title in titles.items()
    }


def test_every_operation_is_a_method_of_the_face() -> None:
    client = ArmClient(1, auth="t", base_url="https://h")
    names = {name: name.partition(".")[::2] for name in [*OPERATIONS, *IDENTITY]}
    methods = {name: getattr(getattr(client, section, None), method, None) for name, (section, method) in names.items()}
    assert [name for name, method in methods.items() if method is None or not method.__doc__] == []


def test_the_table_in_the_docs_is_the_table_of_the_library() -> None:
    specification = importlib.util.spec_from_file_location("make_operations", DOCS / "make_operations.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    assert (DOCS / "operations.md").read_text("utf-8") == module.document()


# --- paths of the caller's own --------------------------------------------------------------------------------------------


def test_a_path_of_the_callers_own_takes_the_place_of_that_of_the_table() -> None:
    table = with_paths({"codes.get": "/clients/{clientno}/systemcodes/", "actions.create": "put clients/{clientno}/doings"})
    assert table["codes.get"].operation == "GET clients/{clientno}/systemcodes"
    assert table["codes.get"].given
    assert not table["codes.get"].is_guess
    assert table["actions.create"].operation == "PUT clients/{clientno}/doings"
    assert not table["actions.create"].safe
    assert {name: row for name, row in table.items() if not row.given} == {
        name: row for name, row in {**OPERATIONS, **IDENTITY}.items() if name not in {"codes.get", "actions.create"}
    }
    assert find("GET", "clients/1/systemcodes", table) is table["codes.get"]
    assert find("GET", "clients/1/codes", table) is None


def test_a_path_need_not_be_below_a_client_and_may_have_further_parts() -> None:
    assert with_paths({"codes.get": "codes/all"})["codes.get"].path == "codes/all"
    assert with_paths({"files.get": "clients/{clientno}/files/{fileid}/content"})["files.get"].given


def test_by_another_method_nothing_is_known_to_be_safe_but_a_get() -> None:
    assert not with_paths({"codes.get": "POST codes"})["codes.get"].safe
    assert with_paths({"identity.verify": "GET verify"})["identity.verify"].safe


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ({"codes.gett": "codes"}, "did you mean 'codes.get'"),
        ({"": "codes"}, "no operation ''"),
        ({7: "codes"}, "no operation 7"),
        ({"identity.token": "oauth/token"}, "set identity_url"),
        ({"codes.get": 7}, "must be text, not int"),
        ({"codes.get": ""}, "such as 'clients/{clientno}/codes'"),
        ({"codes.get": "../codes"}, "such as"),
        ({"codes.get": "https://elsewhere.no/codes"}, "such as"),
        ({"codes.get": "codes?x=1"}, "such as"),
        ({"codes.get": "codes//all"}, "such as"),
        ({"codes.get": "kødes"}, "such as"),
        ({"codes.get": "codes\nX: y"}, "is no method"),
        ({"codes.get": "codes/{customerno}"}, "same parts in braces"),
        ({"codes.get": "codes/a{clientno}"}, "same parts in braces"),
        ({"files.get": "clients/{clientno}/files"}, "same parts in braces"),
        # No client number is at hand where the identity service is asked.
        ({"identity.health": "clients/{clientno}/health"}, "same parts in braces"),
        ({"customers.list": "POST clients/{clientno}/customers"}, "the method is GET"),
        ({"codes.get": "STEAL codes"}, "'STEAL' is no method"),
    ],
)
def test_a_path_that_can_not_be_one_is_refused(paths, said) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        with_paths(paths)


def test_what_the_pages_show_is_as_they_show_it_and_the_rest_is_marked() -> None:
    assert {name: row.operation for name, row in OPERATIONS.items() if row.documented} == SHOWN


def test_no_two_operations_are_the_same_call() -> None:
    calls = [re.sub(r"\{\w+\}", "{}", row.operation) for row in OPERATIONS.values()]
    assert len(set(calls)) == len(calls)


def test_only_reads_and_customer_upserts_are_safe() -> None:
    upserts = {"customers.create", "customers.update", "customers.create_batch", "customers.update_batch"}
    reads = {name for name, row in OPERATIONS.items() if row.method == "GET"}
    assert {name for name, row in OPERATIONS.items() if row.safe} == reads | upserts


def test_names_in_paths_are_lower_case_without_separators() -> None:
    parts = {name: row.path.split("/") for name, row in OPERATIONS.items()}
    assert [name for name, found in parts.items() if not all(re.fullmatch(r"[a-z]+|\{[a-z]+\}", part) for part in found)] == []


def test_every_row_names_itself_and_its_page() -> None:
    assert [name for name, row in OPERATIONS.items() if row.name != name or not row.page.startswith("https://docs.amili.dev/")] == []


def test_lists_and_batches_name_their_items() -> None:
    several = {name: row for name, row in OPERATIONS.items() if name.endswith((".list", ".create_batch", ".update_batch"))}
    assert [name for name, row in several.items() if not row.items] == []


def test_the_caps_that_the_pages_give() -> None:
    assert {name for name, row in OPERATIONS.items() if row.cap == 10_000} >= {"customers.list", "ar_items.list", "gl_items.list"}


def test_every_operation_is_found_by_its_method_and_a_real_path() -> None:
    paths = {name: re.sub(r"\{\w+\}", "4711", row.path) for name, row in OPERATIONS.items()}
    assert {name: find(OPERATIONS[name].method, path) for name, path in paths.items()} == OPERATIONS
    assert {name: find(OPERATIONS[name].method, f"/{path}/") for name, path in paths.items()} == OPERATIONS


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "clients/1/customers"), ("GET", "clients/1"), ("GET", ""), ("GET", "clients/1/nothing"), ("get", "health")],
)
def test_what_is_not_in_the_table_is_not_found(method, path) -> None:
    assert find(method, path) is None


def test_the_batch_path_is_not_a_customer_called_batches() -> None:
    assert find("POST", "clients/1/customers/batches") is OPERATIONS["customers.create_batch"]
    assert find("PUT", "clients/1/customers/batches") is OPERATIONS["customers.update_batch"]


def test_the_token_service_is_no_operation_of_the_api() -> None:
    assert TOKEN_SERVICE.operation == "POST token"
    assert TOKEN_SERVICE.name not in OPERATIONS
