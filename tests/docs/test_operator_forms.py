"""The pages about forms of operators count them, and say why some are refused."""

from __future__ import annotations

from page_scripts import script

pages = script("operator_forms")


def test_forms_are_counted_and_refusals_told() -> None:
    right, refused = pages.Outcome("right"), pages.Outcome("refused", "has aten.x, which; do")
    found = [("add", "x + 1", right), ("add", "x + y", right), ("x", "x(a | b)", refused)]
    text = pages.page("{total} forms: {right} right, {refused} refused.\n\n", found)
    assert text.startswith("3 forms: 2 right, 1 refused.\n")
    assert text.endswith("| add | 2 |  |  |\n| x |  | 1 | `x(a / b)`: has aten.x, which |\n")


def test_what_a_form_is_listed_under() -> None:
    assert [*map(pages.listed_under, ("torch.add_(x)", "x ** 2", "x[:, 0]"))] == ["add", "**", "indexing"]
