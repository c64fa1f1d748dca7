"""The losses: CARL's contrastive one, and LAC."""
