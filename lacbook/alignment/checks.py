"""What the arguments of an alignment must be: ValueErrors that name the argument and what was found."""

import math

from torch import Tensor

from lacbook.padding import valid_mask


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless 0 < temperature < inf."""
    if not 0 < temperature < math.inf:
        raise ValueError(
            f"temperature is {temperature}; expected a finite number above 0 (for 0 use smith_waterman)"
        )


def check_lengths(lengths: Tensor, n: int, m: int) -> None:
    """Raise ValueError unless the lengths [B, 2] are from 1 to n and from 1 to m."""
    wrong = ((lengths < 1) | (lengths > lengths.new_tensor([n, m]))).any(1)
    if wrong.any():
        b = int(wrong.nonzero()[0])
        raise ValueError(f"lengths of pair {b} are {lengths[b].tolist()}; expected 1 to {n} and 1 to {m}")


def check_values(similarity: Tensor, gap_open: Tensor, gap_extend: Tensor, lengths: Tensor) -> None:
    """Raise ValueError for lengths out of range and, within them, NaN or +inf similarities or such penalties.

    Parameters
    ----------
    similarity : Tensor [B, N, M]
    gap_open, gap_extend : Tensor [B, 1, 1] or [B, N, M]
    lengths : Tensor [B, 2]

    Notes
    -----
    Reads the tensors' extremes first, one wait for the device each; masks of their size are made only where
    those are suspicious, be it in padding.
    """
    pairs, n, m = similarity.shape
    if pairs == 0:
        return
    check_lengths(lengths, n, m)
    if not similarity.amax() < math.inf:  # the maximum is NaN if any entry is
        _find(
            "similarity", similarity, ~(similarity < math.inf), lengths, "numbers, or -inf for 'never match'"
        )
    for name, penalty in (("gap_open", gap_open), ("gap_extend", gap_extend)):
        if not penalty.abs().amax() < math.inf:
            _find(name, penalty, ~penalty.isfinite(), lengths, "numbers")


def _find(name: str, values: Tensor, bad: Tensor, lengths: Tensor, expected: str) -> None:
    """Raise ValueError for the first bad value within the lengths, if there is one."""
    _, rows, columns = values.shape
    lengths = lengths.to(values.device)
    for axis, size, length in ((2, rows, lengths[:, 0]), (1, columns, lengths[:, 1])):
        if size > 1:
            bad = bad & valid_mask(length, size).unsqueeze(axis)
    places = bad.nonzero()
    if len(places):
        b, i, j = places[0].tolist()
        # One penalty may stand for many pairs or cells, and then has no place to name.
        per_pair = name == "similarity" or (len(values) > 1 and values.stride(0) > 0)
        per_cell = name == "similarity" or (rows * columns > 1 and any(values.stride()[1:]))
        of_pair = f" of pair {b}" if per_pair else ""
        at_cell = f" at ({i}, {j})" if per_cell else ""
        raise ValueError(f"{name}{of_pair}{at_cell} is {values[b, i, j].item()}; expected finite {expected}")
