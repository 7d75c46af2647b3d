# SPDX-License-Identifier: Apache-2.0
"""Where the packages are: ``zoetrope.golden`` is the folder ``golden``, and so on. All else is in ``pyproject.toml``."""

import tempfile

from setuptools import find_packages, setup

ROOMS = ("golden", "hw", "sim", "synth", "command")

setup(
    packages=[f"zoetrope.{name}" for name in find_packages(include=[*ROOMS, *(f"{room}.*" for room in ROOMS)])],
    package_dir={f"zoetrope.{room}": room for room in ROOMS},
    # Not in the tree: `build` there is what the commands write, and files that are gone would go into the next wheel.
    options={"build": {"build_base": tempfile.mkdtemp(prefix="zoetrope-build-")}},
)
