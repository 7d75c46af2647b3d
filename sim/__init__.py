"""The bench of each block: real input, stream drivers, scoreboard, and the harness that builds and runs it."""
