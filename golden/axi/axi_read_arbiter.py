# SPDX-License-Identifier: Apache-2.0
"""The order in which AXI4 readers that share a bus get it, and whose the words are that come back."""

import numpy as np


def grants(waiting: np.ndarray, last: int = -1) -> np.ndarray:
    """Which reader's burst goes out at each grant: the next one behind the last, round robin, that has one.

    Parameters
    ----------
    waiting : boolean (grants, readers): who has a burst when the grant is made; each row has one who does
    last : the reader of the grant before; without one, reader 0 comes first

    Returns
    -------
    ``int64`` (grants,)
    """
    waiting = np.asarray(waiting, bool)
    if waiting.ndim != 2:
        raise ValueError(f"waiting must be (grants, readers), not {waiting.shape}")
    readers = waiting.shape[1]
    chosen = np.empty(len(waiting), np.int64)
    for n, row in enumerate(waiting):
        behind = (last + 1 + np.arange(readers)) % readers
        if not row.any():
            raise ValueError(f"grant {n} needs a reader that waits")
        chosen[n] = last = behind[row[behind]][0]
    return chosen


def saturated(bursts: list[int], last: int = -1) -> np.ndarray:
    """The same where reader k has ``bursts[k]`` bursts in all and is never late with the next one. ``int64`` (bursts,)."""
    left = np.array(bursts, np.int64)
    order = []
    while left.any():
        last = int(grants((left > 0)[None], last)[0])
        left[last] -= 1
        order.append(last)
    return np.array(order, np.int64)


def owners(readers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The reader of each word: of burst n, of ``lengths[n]`` words, it is ``readers[n]``. ``int64`` (words,)."""
    return np.repeat(np.asarray(readers, np.int64), lengths)
