"""Tables of the documents that programs write."""

from collections.abc import Collection, Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()) -> str:
    """Give a table in Markdown, a line for each row; the columns of these names are set to the right."""
    lines = [head, ["--:" if name in right else "---" for name in head], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
