"""SumTree: numbers that are drawn in proportion to their size."""

import numpy as np


class SumTree:
    """A binary tree whose nodes are the sums of their children; a batch goes down it at once.

    Node 1 is the root, the children of node i are 2i and 2i + 1. A sum is always made anew from
    its two children, so that no error of rounding grows with the number of changes.

    Args:
        size: How many numbers; 0 at first.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.depth = (size - 1).bit_length()
        self.first_leaf = 1 << self.depth
        self.nodes = np.zeros(2 * self.first_leaf)

    @property
    def values(self) -> np.ndarray:
        """The numbers, `(size,)` float64, to be read only."""
        return self.nodes[self.first_leaf : self.first_leaf + self.size]

    @property
    def total(self) -> float:
        """Their sum."""
        return float(self.nodes[1])

    def set(self, indices: np.ndarray, values: np.ndarray) -> None:
        """Changes numbers, `(B,)`, none negative; of an index given twice the last one counts."""
        nodes = self.nodes
        at = indices + self.first_leaf
        nodes[at] = values
        for _ in range(self.depth):
            at = at >> 1
            nodes[at] = nodes.take(2 * at) + nodes.take(2 * at + 1)

    def set_all(self, values: np.ndarray) -> None:
        """Changes all the numbers, `(size,)`."""
        self.values[:] = values
        level = self.nodes[self.first_leaf :]
        while len(level) > 1:
            level = level[::2] + level[1::2]
            self.nodes[len(level) : 2 * len(level)] = level

    def find(self, amounts: np.ndarray) -> np.ndarray:
        """The index at which the numbers before and with it first exceed an amount.

        Args:
            amounts: `(B,)` in [0, total).

        Returns:
            `(B,)` int64, never that of a 0.
        """
        nodes = self.nodes
        left_of, at = amounts.copy(), np.ones(len(amounts), np.int64)
        for _ in range(self.depth):
            at = 2 * at
            left = nodes.take(at)
            # Rounding may leave an amount beyond a sum: nothing is to the right of it then.
            right = (left_of >= left) & (nodes.take(at + 1) > 0)
            left_of -= left * right
            at += right
        return at - self.first_leaf
