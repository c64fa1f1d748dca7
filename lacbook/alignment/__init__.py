"""Smith-Waterman with affine gaps, hard and differentiable.

`recursion` is the specification, `numba_kernels` its compiled twin, `enumeration` the ground truth for tiny
tables.
"""

from lacbook.alignment.api import HardAlignment, SoftAlignment, smith_waterman, soft_smith_waterman

__all__ = ["HardAlignment", "SoftAlignment", "smith_waterman", "soft_smith_waterman"]
