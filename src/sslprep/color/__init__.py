"""Colour histograms, bins and priors."""
