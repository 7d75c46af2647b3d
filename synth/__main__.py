"""What `zoetrope synth` was is `zoetrope synth` now."""

import sys

sys.exit("error: `zoetrope synth` is now `zoetrope synth`, or `make synth`")
