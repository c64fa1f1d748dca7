import numpy as np
import torch

from lacbook.padding import pad, valid_mask


def test_pad_keeps_values_and_dtype():
    values, lengths = pad([np.ones((3, 2), dtype=np.uint8), np.full((1, 2), 7, dtype=np.uint8)])
    assert values.dtype == torch.uint8
    assert lengths.tolist() == [3, 1]
    assert values[1].tolist() == [[7, 7], [0, 0], [0, 0]]


def test_valid_mask():
    assert valid_mask(torch.tensor([2, 0]), 3).tolist() == [[True, True, False], [False, False, False]]
