"""`fewer compare` on the command line."""

from __future__ import annotations

import subprocess
import sys


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['fewer', 'compare', '--help']\nfrom fewer.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
