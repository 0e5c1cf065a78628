"""An engine without BGP does without all that BGP needs."""

import subprocess
import sys


def test_nothing_of_bgp_is_loaded_for_an_engine_without_it() -> None:
    program = "import sys, dataplane.daemon.process; print(sorted(m for m in sys.modules if 'dataplane.bgp' in m))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
