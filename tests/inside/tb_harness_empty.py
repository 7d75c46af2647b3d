# SPDX-License-Identifier: Apache-2.0
"""A bench module without a bench."""
