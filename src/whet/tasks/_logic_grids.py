"""Grids in which every number stands once in each row and column: small sudokus and futoshiki."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np

from whet.tasks._logic import Made, shuffled

Grid = list[list[int]]


def sudoku(rng: np.random.Generator, holes: int = 4) -> Made:
    """A full 4x4 grid with boxes of 2x2, `holes` of its cells emptied: "Fill 12_4/3412/2143/43_1". More than one
    filling may do; each is taken."""
    grid = latin(rng, 4, 2)
    clues = _emptied(rng, grid, holes)
    return _made(f"Fill {told(clues)}", grid, clues, {"box": 2})


def futoshiki(rng: np.random.Generator, size: int = 3, holes: int = 5, signs: int = 3) -> Made:
    """A Latin square of `size` with `holes`, and `signs` neighbours of which one is known to be less. Cells are named
    by letters in reading order: "Fill 1__/_3_/__2; a<b,f<c". More than one filling may do; each is taken."""
    grid = latin(rng, size)
    clues = _emptied(rng, grid, holes)
    flat = [n for row in grid for n in row]
    near = [(k, k + 1) for k in range(size * size) if (k + 1) % size] + [
        (k, k + size) for k in range(size * (size - 1))
    ]
    less = [(a, b) if flat[a] < flat[b] else (b, a) for a, b in shuffled(rng, near)[:signs]]
    known = ",".join(f"{ascii_lowercase[a]}<{ascii_lowercase[b]}" for a, b in less)
    return _made(f"Fill {told(clues)}; {known}", grid, clues, {"less": [list(pair) for pair in less]})


def latin(rng: np.random.Generator, size: int, box: int = 0) -> Grid:
    """A full square; with `box`, every number once in each box of box x box too. Cell by cell, in a random order of
    numbers, going back where none is left."""
    grid = [[0] * size for _ in range(size)]
    _fill(rng, grid, 0, box)
    return grid


def _fill(rng: np.random.Generator, grid: Grid, at: int, box: int) -> bool:
    size = len(grid)
    if at == size * size:
        return True
    r, c = divmod(at, size)
    for n in shuffled(rng, range(1, size + 1)):
        if _free(grid, r, c, n, box):
            grid[r][c] = n
            if _fill(rng, grid, at + 1, box):
                return True
            grid[r][c] = 0
    return False


def _free(grid: Grid, r: int, c: int, n: int, box: int) -> bool:
    if n in grid[r] or any(row[c] == n for row in grid):
        return False
    if not box:
        return True
    top, left = r - r % box, c - c % box
    return all(n not in row[left : left + box] for row in grid[top : top + box])


def _emptied(rng: np.random.Generator, grid: Grid, holes: int) -> Grid:
    size = len(grid)
    gone = {int(k) for k in rng.permutation(size * size)[:holes]}
    return [[0 if r * size + c in gone else n for c, n in enumerate(row)] for r, row in enumerate(grid)]


def told(grid: Sequence[Sequence[int]]) -> str:
    """ "12_4/3412/2143/43_1": rows, "_" for an empty cell."""
    return "/".join("".join(str(n) if n else "_" for n in row) for row in grid)


def _made(question: str, grid: Grid, clues: Grid, rules: dict[str, object]) -> Made:
    empty = [(r, c) for r, row in enumerate(clues) for c, n in enumerate(row) if not n]
    wrong = []
    for r, c in empty[:3]:  # another number in a full row stands there twice
        other = [list(row) for row in grid]
        other[r][c] = grid[r][c] % len(grid) + 1
        wrong.append(told(other))
    steps = "".join(str(grid[r][c]) for r, c in empty)  # what the empty cells hold, in reading order
    gold = {"rule": "latin", "rows": told(clues).split("/"), **rules}
    return Made(question, steps, told(grid), gold, tuple(wrong))
