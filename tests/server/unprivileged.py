"""`avi-server apply` by somebody who is not root: `python -m tests.server.unprivileged WORDS`.

It checks as root first: that imports everything, while the interpreter may lie where others cannot read.
"""

from __future__ import annotations

import os
import sys

from dataplane.server.__main__ import main

_NOBODY = 65534

if __name__ == "__main__":
    main(["check", *sys.argv[1:]])
    os.setuid(_NOBODY)
    sys.exit(main(["apply", *sys.argv[1:]]))
