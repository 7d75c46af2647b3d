# SPDX-License-Identifier: Apache-2.0
"""Verilog as Yosys writes it, taken apart: modules, their ports, what they instantiate, and how often.

Not a parser of Verilog. What Yosys writes has one declaration a line and one port of an instance a line, and an escaped name
ends with a blank.
"""

import re
from collections import Counter

#: An instance begins: its module and its name.
INSTANCE = re.compile(r"^  (\\\S+|\w+) +(\\\S+|\w+) +\($")

#: A port of an instance: its name, and the rest of the line.
CONNECTION = re.compile(r"^    \.(\\\S+ |\w+)(\(.*)$")

_PORT = re.compile(r"^  (input|output) (signed )?(?:\[(\d+):0\] )?(\\\S+|\w+) ?;$", re.M)


def split(text):
    """Module name to the text of it, from ``module`` to ``endmodule``, in order."""
    found = re.findall(r"^module (\\\S+|\w+).*?^endmodule\n", text, re.M | re.S)
    texts = re.findall(r"^module .*?^endmodule\n", text, re.M | re.S)
    return {bare(name): module for name, module in zip(found, texts, strict=True)}


def split_rtlil(text):
    """Module name to the text of it, without its first line, of a design as RTLIL."""
    return dict(re.findall(r"^module \\(\S+)\n(.*?^end$)", text, re.M | re.S))


def bare(name):
    """A name without the backslash that escapes it."""
    return name.strip().removeprefix("\\")


def ports(module):
    """(direction, width, name) of each port of a module's text, in order; the name as it is written."""
    return [(direction, int(high or 0) + 1, name) for direction, _, high, name in _PORT.findall(module)]


def instances(module):
    """Names of the modules that a module's text instantiates, one an instance."""
    return [bare(found[1]) for line in module.splitlines() if (found := INSTANCE.match(line))]


def counts(modules, top):
    """Module name to how many instances of it are in a design: ``modules`` by name, as ``split`` has them."""
    below = {name: Counter(instances(text)) for name, text in modules.items()}

    def walk(name):
        if name not in totals:
            totals[name] = Counter({name: 1})
            for child, times in below.get(name, {}).items():
                for part, number in walk(child).items():
                    totals[name][part] += times * number
        return totals[name]

    totals = {}
    return walk(top)
