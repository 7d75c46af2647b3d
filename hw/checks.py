# SPDX-License-Identifier: Apache-2.0
"""Checks of a config's fields, each one clear sentence: what the field must be, and what it is.

Every function takes the config (anything with the fields as attributes) and the names of the fields, and raises a
``ValueError`` that names the first one that is wrong::

    checks.at_least(self, 1, "lanes", "rows")
    checks.power_of_two(self, "burst", most=256)
"""


def at_least(config, least, *names, why=""):
    """Fields ``names`` are integers of ``least`` or more. ``why`` is added to the message."""
    for name in names:
        value = getattr(config, name)
        _demand(_integer(value) and value >= least, name, f"at least {least}", value, why)


def between(config, least, most, *names, why=""):
    """Fields ``names`` are integers of ``least`` to ``most``."""
    for name in names:
        value = getattr(config, name)
        _demand(_integer(value) and least <= value <= most, name, f"{least} to {most}", value, why)


def power_of_two(config, *names, least=1, most=None, why=""):
    """Fields ``names`` are powers of two, of ``least`` or more and, where given, of ``most`` or less."""
    limits = f" from {least} to {most}" if most is not None else f" of at least {least}" if least > 1 else ""
    for name in names:
        value = getattr(config, name)
        right = _integer(value) and value >= least and value & (value - 1) == 0 and (most is None or value <= most)
        _demand(right, name, f"a power of two{limits}", value, why)


def one_of(config, choices, *names, why=""):
    """Fields ``names`` have a value of ``choices``."""
    for name in names:
        value = getattr(config, name)
        _demand(value in choices, name, f"one of {', '.join(map(str, choices))}", value, why)


def _integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _demand(right, name, what, value, why):
    if not right:
        raise ValueError(f"{name} must be {what}, not {value!r}{f': {why}' if why else ''}")
