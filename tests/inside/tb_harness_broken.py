# SPDX-License-Identifier: Apache-2.0
"""A bench that cannot be imported."""

import there_is_no_such_module  # noqa: F401
