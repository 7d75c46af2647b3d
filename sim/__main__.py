# SPDX-License-Identifier: Apache-2.0
"""What `python -m sim` was is `zoetrope sim` now."""

import sys

sys.exit("error: `python -m sim` is now `zoetrope sim`, or `make sim`")
