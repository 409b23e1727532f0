"""The lint of docstrings finds what is missing in one, and nothing in one that is complete."""

from __future__ import annotations

import inspect

from tools.docstrings import Member, problems, public_classes_and_functions


class Section:
    def complete(self, number: int, *, deep: bool = False, **more: object) -> str:
        """Returns a number as text.

        Args:
            number: what is written,
                also over two lines: with a colon.
            deep: whether to look further. Default False.
            **more: passed on.

        Returns:
            The text.

        Raises:
            ValueError: the number is negative.
        """
        if number < 0:
            raise ValueError(number)
        return str((number, deep, more))

    def bare(self, number: int) -> str:
        """Returns a number as text."""
        if number < 0:
            raise ValueError(number)
        return str(number)

    def wrong(self, number: int) -> None:
        """Takes a number.

        Args:
            numbr: a number.
        """


def found(function) -> list[str]:
    return list(problems(Member("x", function, inspect.cleandoc(function.__doc__))))


def test_a_complete_docstring_has_no_problem() -> None:
    assert found(Section.complete) == []


def test_each_thing_that_is_missing_is_named() -> None:
    assert found(Section.bare) == ["no line in Args for 'number'", "no section Returns", "no line in Raises for ValueError"]


def test_a_name_that_is_no_parameter_is_named() -> None:
    assert found(Section.wrong) == ["no line in Args for 'number'", "Args explains 'numbr', which is no parameter"]


def test_public_is_what_is_exported_the_sections_of_a_client_and_what_these_return() -> None:
    classes, functions = public_classes_and_functions()
    assert {"ArmClient", "Sandbox", "Customers", "NightlyReport", "ConcurrentMap"} <= {cls.__name__ for cls in classes}
    assert "open_records" in {function.__name__ for function in functions}
