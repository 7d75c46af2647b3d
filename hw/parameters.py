# SPDX-License-Identifier: Apache-2.0
"""Configs of one's own: a preset of a block with other values of some parameters, as text from a command line.

A parameter is named by its path in the nested configs, ``engine.fp16.rows``, or by the end of that path where only one
parameter ends so: ``fp16.rows``. The result is the same block with one more preset, which every command takes::

    block, preset = variant(find("simcore"), "small", ["fp16.rows=8"])
    block.build(preset)
"""

import dataclasses
import enum
import re
import types
import typing

from zoetrope.hw import formats
from zoetrope.hw.catalogue import find, select, unknown
from zoetrope.hw.errors import UserError

#: Number formats by name.
FORMATS = {value.name: value for value in vars(formats).values() if isinstance(value, formats.Float)}

#: No size of a design is larger; what is would end for want of memory, after an hour.
LARGEST = 1 << 24

_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One value in a config: its ``path``, a tuple of field names, its ``value``, its ``type`` as annotated, its meaning."""

    path: tuple
    value: object
    type: object
    meaning: str

    @property
    def name(self):
        return ".".join(self.path)


def parameters_of(config, above=()):
    """Every ``Parameter`` of ``config`` and of the configs in it, in order."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), (*above, field.name)
        if _is_config(value):
            yield from parameters_of(value, path)
        elif field.init:
            yield Parameter(path, value, hints.get(field.name, object), field.metadata.get("doc", ""))


def variant(block, preset, changes, name=None):
    """``(block, preset)`` with ``changes``: the block with one more preset, and that preset's name.

    A change is ``path=value``, or several of them with blanks between.

    ``name`` is its name, else one is made of the changes. Without changes it is ``block`` itself and its preset. Errors:
    ``UnknownName`` for a parameter that is not there, ``UserError`` for a value that is not of its type or that the config
    refuses, with what it says.
    """
    if isinstance(block, str):
        block = find(block)
    config = block.config(preset)
    preset = preset or block.default
    if not changes:
        if name:
            raise UserError("--name is of a block that --set changes: there is no --set")
        return block, preset
    chosen = {}
    changes = [each for text in changes for each in re.split(r"\s+(?=[\w.]+=)", text.strip())]
    for change in changes:
        parameter, value = _parsed(block, config, change)
        if parameter.path in chosen:
            raise UserError(f"--set gives {parameter.name} twice: {', '.join(changes)}")
        chosen[parameter.path] = value
    try:
        config = _changed(config, chosen)
    except (ValueError, TypeError) as error:
        raise UserError(f"block {block.name}, {', '.join(changes)}: {error}") from None
    name = name or _name(block, preset, changes)
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise UserError(f"--name must be letters, digits and _, and begin with a letter, not {name!r}")
    if name in block.presets:
        raise UserError(f"block {block.name} has a preset {name!r}: give the changed one another --name")
    return dataclasses.replace(block, configs={**block.presets, name: config}), name


def selected(options):
    """The (block, preset) pairs that the options ``--block``, ``--preset``, ``--set`` and ``--name`` mean.

    ``options.broken`` becomes a list of what is wrong with blocks that cannot be had, as in ``catalogue.select``: a command
    goes on with the others, and ends with ``catalogue.told`` of it.
    """
    options.broken = []
    if options.changes or options.name:
        if not options.block or options.preset == "all":
            raise UserError("--set needs --block, and one preset at most")
        return [variant(options.block, options.preset, options.changes, options.name)]
    return select(options.block, options.preset, None if options.block else options.broken)


def _parsed(block, config, change):
    path, equals, text = change.partition("=")
    path = path.strip()
    if not equals or not path:
        raise UserError(f"--set must be PARAMETER=VALUE, as in --set {_example(config)}, not {change!r}")
    parameter = _found(block, config, path)
    try:
        return parameter, value_of(text.strip(), parameter)
    except ValueError as error:
        raise UserError(f"--set {change}: {parameter.name} {error}") from None


def _found(block, config, name):
    there = {parameter.name: parameter for parameter in parameters_of(config)}
    if name in there:
        return there[name]
    fitting = [path for path in there if path.endswith(f".{name}")]
    if len(fitting) == 1:
        return there[fitting[0]]
    if fitting:
        raise UserError(f"block {block.name} has several parameters {name!r}: {', '.join(fitting)}")
    inside = [path for path in there if f".{path}".find(f".{name}.") >= 0]
    if inside:
        raise UserError(f"{name} of block {block.name} is a config: give a parameter in it: {', '.join(inside)}")
    last = {path.rpartition(".")[2]: path for path in there}
    raise unknown(f"block {block.name} has no parameter", name, {**last, **there}, "it has")


def value_of(text, parameter):
    """The value that ``text`` is, of the type of ``parameter``. ``ValueError`` says what it must be."""
    kinds = _kinds(parameter.type)
    if type(None) in kinds and text.lower() == "none":
        return None
    kinds = [kind for kind in kinds if kind is not type(None)]
    if not any(kind in _READERS or _origin(kind) in _READERS or _is_enum(kind) for kind in kinds):
        kinds = [type(parameter.value)]  # annotated as `object`, or of no use
    faults = []
    for kind in kinds:
        try:
            return _read(text, kind, parameter.value)
        except ValueError as error:
            faults.append(str(error))
    raise ValueError(faults[0] if faults else "cannot be given as text")


def _read(text, kind, value):
    if _is_enum(kind):
        named = {member.name.lower(): member for member in kind}
        if text.lower() not in named:
            raise ValueError(f"must be one of {', '.join(member.name for member in kind)}, not {text!r}")
        return named[text.lower()]
    if _origin(kind) is tuple:
        return _tuple(text, kind, value)
    if kind not in _READERS:
        raise ValueError("cannot be given as text")
    return _READERS[kind](text)


def _whole(text):
    try:
        value = int(text.replace("_", "").replace(",", ""), 0)
    except ValueError:
        raise ValueError(f"must be a whole number, not {text!r}") from None
    if value > LARGEST:
        raise ValueError(f"must be at most {LARGEST:,}, not {value:,}: nothing larger can be built")
    return value


def _number(text):
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number, not {text!r}") from None


def _switch(text):
    if text.lower() not in _YES + _NO:
        raise ValueError(f"must be true or false, not {text!r}")
    return text.lower() in _YES


def _format(text):
    if text.upper() not in FORMATS:
        raise ValueError(f"must be one of {', '.join(FORMATS)}, not {text!r}")
    return FORMATS[text.upper()]


def _tuple(text, kind, value):
    of = [each for each in typing.get_args(kind) if each is not Ellipsis]
    element = of[0] if of else type(value[0]) if value else int
    items = [item.strip() for item in text.strip("()[] ").split(",") if item.strip()]
    return tuple(_read(item, element, None) for item in items)


_READERS = {int: _whole, float: _number, bool: _switch, str: str, formats.Float: _format, tuple: _tuple}


def _kinds(annotation):
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return list(typing.get_args(annotation))
    return [annotation]


def _origin(kind):
    return typing.get_origin(kind) or kind


def _is_enum(kind):
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _is_config(value):
    return dataclasses.is_dataclass(value) and not isinstance(value, (type, formats.Float))


def _changed(config, changes):
    """``config`` with ``changes``, path to value, the innermost configs first."""
    own = {path[0]: value for path, value in changes.items() if len(path) == 1}
    for first in {path[0] for path in changes if len(path) > 1}:
        inner = {path[1:]: value for path, value in changes.items() if path[0] == first}
        own[first] = _changed(getattr(config, first), inner)
    return dataclasses.replace(config, **own)


def _name(block, preset, changes):
    """Of the preset and the changes: ``small_fp16_rows_8``."""
    words = [] if preset == block.default else [preset]
    return re.sub(r"\W+", "_", "_".join([*words, *changes]), flags=re.ASCII).strip("_")


def _example(config):
    first = next(parameters_of(config))
    return f"{first.name}={getattr(first.value, 'name', first.value)}"
