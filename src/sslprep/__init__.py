"""The input side of a self-supervised-learning benchmark."""

__version__ = "0.1.0"
