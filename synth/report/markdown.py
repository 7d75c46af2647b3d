# SPDX-License-Identifier: Apache-2.0
"""Tables as Markdown, and the places between markers that they stand in."""

from zoetrope.hw.errors import UserError


def markdown(header, rows):
    """``rows`` under ``header``."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def made(command, results):
    """The line below a table: the command that makes it, and the tools that made it."""
    tools = ", ".join(f"{name} {version}" for name, version in sorted(results[0]["tools"].items()))
    return f"\n\n`{command}`, with {tools}."


def placed(text, name, table):
    """``text`` with ``table`` between its markers."""
    start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    before, found, rest = text.partition(start)
    _, closed, behind = rest.partition(end.lstrip())
    if not found or not closed:
        raise UserError(f"there is no place for the table {name}: lines {start.strip()} and {end.strip()}")
    return f"{before}{start}{table}{end}{behind}"
