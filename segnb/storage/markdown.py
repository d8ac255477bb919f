"""Markdown tables, and replacing what stands between two marks of a page."""

from collections.abc import Iterable

from segnb.errors import SegnbError


def markdown_table(head: list[str], rows: Iterable[Iterable[str]]) -> str:
    """Lines of cells, which are Markdown themselves."""
    first, *others = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *others])


def between(text: str, marks: tuple[str, str], new: str, name: str = "README.md") -> str:
    """A text with `new` between its two marks. Raises SegnbError that names the file if it has none."""
    before, first, rest = text.partition(marks[0])
    _, last, after = rest.partition(marks[1])
    if not first or not last:
        raise SegnbError(f"{name} has no {marks[0]} … {marks[1]} to put the table between; add the two marks")
    return f"{before}{first}\n{new}\n{last}{after}"
