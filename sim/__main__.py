"""What `zoetrope sim` was is `zoetrope sim` now."""

import sys

sys.exit("error: `zoetrope sim` is now `zoetrope sim`, or `make sim`")
