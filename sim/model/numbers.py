"""The numbers of a formula, taken from a config: a model counts with plain numbers and knows no hardware."""


def numbers(kind, config):
    """A ``kind``, a ``NamedTuple`` of numbers, of what ``config`` calls by the same names."""
    return kind(*(getattr(config, name) for name in kind._fields))
