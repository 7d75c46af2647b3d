# SPDX-License-Identifier: Apache-2.0
"""``python -m zoetrope.command``, where the script ``zoetrope`` is not on the path."""

import sys

from zoetrope.command.main import main

sys.exit(main())
