"""lacbook: learn frame-wise video embeddings by differentiable local alignment."""

from lacbook.alignment import smith_waterman, soft_smith_waterman

__version__ = "0.1.0"
__all__ = ["smith_waterman", "soft_smith_waterman"]
