"""Write the refusals of the hostile suite anew; run by `make golden`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

if __name__ == "__main__":
    test = "tests/hostile/test_checkpoints.py::test_each_attack_is_refused_by_the_rule_against_it"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", test],
        cwd=ROOT,
        env=os.environ | {"SSLPREP_GOLDEN": "1"},
        check=True,
    )
