"""The encoder, from frames or poses to embeddings."""
