# SPDX-License-Identifier: Apache-2.0
"""``zoetrope registers``: SIMCORE's register map."""

from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.axi.registers import describe
from zoetrope.hw.errors import command_line
from zoetrope.hw.simcore.chip.simcore_registers import REGISTERS, document


@command_line
def main(arguments=None):
    parser = Parser(
        "registers", "Print SIMCORE's register map.", "zoetrope registers > simcore.md", "zoetrope registers --json"
    )
    parser.json()
    options = parser.parse_args(arguments)
    with answer(options) as tell:
        tell(describe(REGISTERS))
        print(document(), end="")
