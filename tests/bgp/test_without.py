"""An engine without BGP does without all that BGP needs."""

import subprocess
import sys


def test_nothing_of_bgp_is_loaded_for_an_engine_without_it() -> None:
    program = (
        "import sys, dataplane.daemon.process; from dataplane.plan import codec; "
        "codec.read_common({}, 1); print(sorted(m for m in sys.modules if m.endswith('.bgp') or '.bgp.' in m))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
