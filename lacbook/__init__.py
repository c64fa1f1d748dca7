"""lacbook: learn frame-wise video embeddings by differentiable local alignment."""

from lacbook.alignment import dtw, smith_waterman, soft_dtw, soft_smith_waterman

__version__ = "0.1.0"
__all__ = ["dtw", "smith_waterman", "soft_dtw", "soft_smith_waterman"]
