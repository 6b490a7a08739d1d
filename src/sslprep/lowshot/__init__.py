"""Low-shot samples."""
