"""Small data sets and the walk through all commands."""
