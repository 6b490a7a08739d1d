"""Charts as SVG: pure functions from arrays to drawings, shared by the commands and the report."""
