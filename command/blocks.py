# SPDX-License-Identifier: Apache-2.0
"""``zoetrope blocks``: what there is, and what may be set of it."""

from zoetrope.hw import catalogue
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import UserError, command_line
from zoetrope.hw.files import table
from zoetrope.hw.parameters import parameters_of


@command_line
def main(arguments=None):
    parser = Parser(
        "blocks",
        "List the blocks with their presets; of one block, its parameters, which --set of other commands changes.",
        "zoetrope blocks",
        "zoetrope blocks --block simcore --preset small",
        "zoetrope blocks --json",
    )
    parser.block("list the parameters of this block")
    parser.preset()
    parser.json()
    options = parser.parse_args(arguments)
    if options.preset and not options.block:
        raise UserError("--preset needs --block")
    with answer(options) as tell:
        broken = []
        tell(_parameters(options) if options.block else _blocks(broken))
    return catalogue.told(broken)


def _blocks(broken):
    blocks = list(catalogue.usable(broken).values())
    rows = [(block.key, ", ".join(block.presets), str(block.source), block.summary) for block in blocks]
    print(table(("block", "presets", "source", "what it does"), rows))
    return [
        {"block": name, "room": block.room, "presets": list(block.presets), "source": source, "summary": summary}
        for block, (name, _, source, summary) in zip(blocks, rows)
    ]


def _parameters(options):
    block = catalogue.find(options.block)
    config = block.config(options.preset)
    found = [(each.name, _shown(each.value), each.meaning) for each in parameters_of(config)]
    print(f"{block.id}, preset {options.preset or block.default}; presets: {', '.join(block.presets)}\n")
    print(table(("parameter", "value", "meaning"), found))
    parameters = [{"name": name, "value": value, "meaning": meaning} for name, value, meaning in found]
    return {"block": block.id, "preset": options.preset or block.default, "parameters": parameters}


def _shown(value):
    return value if isinstance(value, (bool, int, float, str)) else str(getattr(value, "name", value))
