"""Smith-Waterman with affine gaps, hard and differentiable.

`recursion` is the specification and `enumeration` the ground truth for tiny tables; `numba_kernels`,
`wavefront` and `cuda_kernels` compute the same for use, `backends` chooses among them, and `ops` makes torch
operators of them.
"""

from lacbook.alignment.api import HardAlignment, SoftAlignment, smith_waterman, soft_smith_waterman

__all__ = ["HardAlignment", "SoftAlignment", "smith_waterman", "soft_smith_waterman"]
