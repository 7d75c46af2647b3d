# SPDX-License-Identifier: Apache-2.0
"""The site: pages of ``docs``, and what is rendered for them from the catalogue and the committed costs."""
