"""lacbook: learn frame-wise video embeddings by differentiable local alignment."""

from lacbook.alignment import (
    dtw,
    pairwise_alignment,
    pin_threads,
    smith_waterman,
    soft_dtw,
    soft_smith_waterman,
)

__version__ = "0.1.0"
__all__ = ["dtw", "pairwise_alignment", "pin_threads", "smith_waterman", "soft_dtw", "soft_smith_waterman"]
