"""Jigsaw permutation sets."""
