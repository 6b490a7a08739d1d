"""Colorization: the colour histogram of an image set, bins and priors, soft labels."""

from sslprep.color.encoding import decode, encode

__all__ = ["decode", "encode"]
