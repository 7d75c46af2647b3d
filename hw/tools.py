"""How the tools of the environment are called: by the interpreter that runs, whatever has become of their scripts.

A script of an environment begins with the path of its interpreter: it is wrong once the environment has moved, and is not
beside the interpreter where packages are shared.
"""

import importlib.metadata
import shutil
import sys

from zoetrope.hw.errors import ToolError


def command(name, extra="hw"):
    """The words that run the tool ``name`` of an installed package, else one on the path.

    ``ToolError`` where there is neither; ``extra`` is that of this project which would install it.
    """
    for entry in importlib.metadata.entry_points(group="console_scripts", name=name):
        module, _, function = entry.value.partition(":")
        return [sys.executable, "-c", f"import sys; from {module} import {function}; sys.exit({function}())"]
    found = shutil.which(name)
    if found is None:
        raise ToolError(
            f"cannot run {name}: it is not installed in this environment; `make setup` installs it, or "
            f"pip install 'zoetrope-rtl[{extra}]'"
        )
    return [found]
