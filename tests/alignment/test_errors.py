"""Bad input: a ValueError that names the argument."""

import math

import numpy as np
import pytest
import torch

from lacbook.alignment import smith_waterman, soft_smith_waterman

GOOD = {"similarity": torch.zeros(2, 3, 4), "gap_open": 1.0, "gap_extend": 0.3}


def with_value(value):
    s = torch.zeros(2, 3, 4)
    s[1, 2, 0] = value
    return s


BOTH = [
    ({"similarity": torch.zeros(3)}, r"similarity has shape \(3,\)"),
    ({"similarity": torch.zeros(1, 2, 3, 4)}, "similarity has shape"),
    ({"similarity": torch.zeros(2, 0, 4)}, "similarity has shape"),
    ({"similarity": torch.zeros(3, 0)}, "similarity has shape"),
    ({"similarity": torch.zeros(2, 3, 4, dtype=torch.complex64)}, "similarity has dtype"),
    ({"similarity": np.zeros((2, 3, 4), dtype=bool)}, "similarity has dtype"),
    ({"similarity": with_value(math.nan)}, r"similarity of pair 1 at \(2, 0\) is nan"),
    ({"similarity": with_value(math.inf)}, r"similarity of pair 1 at \(2, 0\) is inf"),
    ({"gap_open": math.nan}, "gap_open is nan"),
    ({"gap_open": math.inf}, "gap_open is inf"),
    ({"gap_open": torch.ones(3)}, r"gap_open has shape \(3,\); expected one of \(\), \(2,\), \(3, 4\)"),
    ({"gap_open": torch.ones(4, 3)}, r"gap_open has shape \(4, 3\)"),
    ({"gap_open": torch.ones(1, 3, 4)}, r"gap_open has shape \(1, 3, 4\)"),
    ({"gap_open": torch.ones(2, dtype=torch.bool)}, "gap_open has dtype"),
    ({"gap_open": None}, "gap_open has dtype object"),
    ({"gap_open": True}, "gap_open has dtype torch.bool"),
    ({"similarity": np.array([["1", "2"]])}, "similarity has dtype <U1"),
    ({"similarity": np.zeros((2, 3, 4), dtype=np.longdouble)}, "similarity has dtype"),
    ({"similarity": np.zeros((2, 3, 4), dtype=">f4")}, "similarity has dtype >f4"),
    ({"gap_extend": torch.tensor(math.nan)}, "gap_extend is nan"),
    ({"gap_extend": -math.inf}, "gap_extend is -inf"),
    ({"gap_extend": torch.tensor([1.0, math.nan])}, r"gap_extend of pair 1 is nan"),
    ({"gap_extend": with_value(math.inf)[1]}, r"gap_extend at \(2, 0\) is inf"),
    ({"gap_extend": with_value(math.nan)}, r"gap_extend of pair 1 at \(2, 0\) is nan"),
    ({"similarity": torch.zeros(3, 4), "gap_open": torch.ones(3)}, r"expected one of \(\), \(3, 4\)"),
    ({"lengths": torch.tensor([[3, 4], [0, 4]])}, r"lengths of pair 1 are \[0, 4\]"),
    ({"lengths": torch.tensor([[3, 5], [3, 4]])}, r"lengths of pair 0 are \[3, 5\]"),
    ({"lengths": torch.tensor([[3, 4], [3, -1]])}, r"lengths of pair 1 are"),
    ({"lengths": torch.tensor([3, 4])}, "lengths has shape"),
    ({"lengths": torch.tensor([[3, 4]])}, "lengths has shape"),
    ({"lengths": torch.tensor([[3.0, 4.0], [3.0, 4.0]])}, "lengths has dtype"),
    ({"lengths": torch.ones(2, 2, dtype=torch.bool)}, "lengths has dtype"),
]
SOFT = [
    ({"temperature": 0}, "temperature is 0"),
    ({"temperature": -1.0}, "temperature is -1"),
    ({"temperature": math.nan}, "temperature is nan"),
    ({"temperature": math.inf}, "temperature is inf"),
    ({"backend": "fast"}, "backend is 'fast'; expected 'auto', 'recursion'"),
]


@pytest.mark.parametrize(("wrong", "message"), BOTH + SOFT)
def test_soft(backend, wrong, message):
    with pytest.raises(ValueError, match=message):
        soft_smith_waterman(**({"backend": backend} | GOOD | wrong))


@pytest.mark.parametrize(("wrong", "message"), BOTH)
def test_hard(wrong, message):
    with pytest.raises(ValueError, match=message):
        smith_waterman(**(GOOD | wrong))


@pytest.mark.parametrize("name", ["similarity", "gap_open", "gap_extend"])
def test_padding_may_hold_anything(backend, name):
    values = torch.ones(2, 3, 4)
    values[1, 2] = values[1, :, 3] = math.nan
    arguments = GOOD | {name: values, "lengths": [(3, 4), (2, 3)]}
    assert soft_smith_waterman(**arguments, backend=backend).score.isfinite().all()
    assert smith_waterman(**arguments).score.isfinite().all()


def test_nan_beyond_a_clean_maximum_of_another_pair():
    s = torch.zeros(2, 3, 4)
    s[0, 2, 3] = math.nan  # padding: harmless
    s[1, 0, 1] = math.nan
    with pytest.raises(ValueError, match=r"similarity of pair 1 at \(0, 1\) is nan"):
        soft_smith_waterman(s, 1.0, 0.3, lengths=[(2, 4), (3, 4)])
