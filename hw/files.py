# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all, and results as aligned text."""

import os
import tempfile


def write_if_changed(path, text):
    """Give ``path`` the content ``text``, whole or not at all. An equal file keeps its time. Returns whether it changed."""
    if path.exists() and path.read_bytes() == text.encode():
        return False
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:  # a full disk, Ctrl-C
        os.unlink(partial)
        raise
    return True


def table(header, rows):
    """``rows`` under ``header`` as aligned text, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    right = [bool(rows) and isinstance(rows[0][k], (int, float)) for k in range(len(header))]

    def line(row):
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip()

    return "\n".join([line(cells[0]), "  ".join("-" * w for w in widths), *map(line, cells[1:])])
