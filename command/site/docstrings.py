# SPDX-License-Identifier: Apache-2.0
"""A docstring of this project as Markdown: what stands indented behind ``::`` is code, and so are names.

The docstrings have one style, so one small reader is enough: paragraphs, ``::`` blocks, lists with ``*``, sections that are
underlined with dashes, and in them entries ``name : what it is``.
"""

import inspect
import re
import textwrap

_ENTRY = re.compile(r"^([\w.*`\[\], ]+?) : (.+)$")


def markdown(docstring):
    """``docstring`` as Markdown; "" for None."""
    lines, found, k = inspect.cleandoc(docstring or "").splitlines(), [], 0
    while k < len(lines):
        line = lines[k]
        if k + 1 < len(lines) and line and re.fullmatch(r"-{3,}", lines[k + 1]):
            k, section = _section(lines, k + 2)
            found += [f"**{line}**", "", *section]
        elif line.rstrip().endswith("::"):
            k, code = _indented(lines, k + 1)
            words = line.rstrip()[:-1] if line.strip() != "::" else ""
            found += [*([_inline(words)] if words else []), "", "```text", *code, "```", ""]
        else:
            found.append(_inline(line))
            k += 1
    return "\n".join(found).strip() + "\n" if found else ""


def summary(docstring):
    """Its first sentence, as Markdown."""
    return _inline(" ".join(inspect.cleandoc(docstring or "").partition("\n\n")[0].split()))


def _inline(text):
    """Names between double backticks are code; what Markdown would read as a tag is not one."""
    parts = re.split(r"(``.+?``)", text)
    return "".join(f"`{part[2:-2]}`" if part.startswith("``") else _plain(part) for part in parts)


def _plain(text):
    mark = re.match(r"\s*\* ", text)  # of a list
    kept = mark[0] if mark else ""
    return kept + re.sub(r"([*_|])", r"\\\1", text[len(kept) :].replace("&", "&amp;").replace("<", "&lt;"))


def _indented(lines, k):
    """The code that begins at line ``k``, and the line behind it."""
    code = []
    while k < len(lines) and (not lines[k].strip() or lines[k].startswith(" ")):
        code.append(lines[k])
        k += 1
    return k, textwrap.dedent("\n".join(code)).strip("\n").splitlines()


def _section(lines, k):
    """The entries of a section as a list, and the line behind it: a blank one, or the end."""
    entries = []
    while k < len(lines) and lines[k].strip():
        entry = _ENTRY.match(lines[k])
        if entry:
            entries.append(f"- `{entry[1]}`: {_inline(entry[2])}")
        else:
            entries.append(("  " if entries else "") + _inline(lines[k].strip()))
        k += 1
    return k, [*entries, ""]
