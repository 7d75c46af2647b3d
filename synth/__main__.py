# SPDX-License-Identifier: Apache-2.0
"""What `python -m synth` was is `zoetrope synth` now."""

import sys

sys.exit("error: `python -m synth` is now `zoetrope synth`, or `make synth`")
