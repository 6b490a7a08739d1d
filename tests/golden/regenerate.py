"""Write every expected file anew (`make golden`); then read the diff as you would read code."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    for script in sorted(Path(__file__).parent.glob("*/make.py")):
        print(f"tests/golden/{script.parent.name}")
        runpy.run_path(str(script), run_name="__main__")
