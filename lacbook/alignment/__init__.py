"""Smith-Waterman with affine gaps, hard and differentiable.

`recursion` is the specification and `enumeration` the ground truth for tiny tables; `numba_kernels`,
`wavefront` and `cuda_kernels` compute the same for use, `backends` chooses among them, and `ops` makes torch
operators of them. `dtw` is the global cousin, dynamic time warping.
"""

from lacbook.alignment.api import HardAlignment, SoftAlignment, smith_waterman, soft_smith_waterman
from lacbook.alignment.dtw import HardDTW, SoftDTW, dtw, soft_dtw
from lacbook.alignment.pairwise import pairwise_alignment
from lacbook.alignment.threads import pin_threads

__all__ = [
    "HardAlignment",
    "HardDTW",
    "SoftAlignment",
    "SoftDTW",
    "dtw",
    "pairwise_alignment",
    "pin_threads",
    "smith_waterman",
    "soft_dtw",
    "soft_smith_waterman",
]
