"""Where the packages are: ``zoetrope.golden`` is the folder ``golden``, and so on. All else is in ``pyproject.toml``."""

from setuptools import find_packages, setup

ROOMS = ("golden", "hw", "sim", "synth", "command")

setup(
    packages=[f"zoetrope.{name}" for name in find_packages(include=[*ROOMS, *(f"{room}.*" for room in ROOMS)])],
    package_dir={f"zoetrope.{room}": room for room in ROOMS},
)
