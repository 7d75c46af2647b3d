# SPDX-License-Identifier: Apache-2.0
"""Videos that a trained model makes, with each machine's attention in the loop."""
