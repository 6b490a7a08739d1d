"""Features, linear SVMs, average precision and the low-shot curve."""
