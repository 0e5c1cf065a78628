"""One operator's shell and the configuration behind it.

Imports `grammar`, and of `dataplane` only `plan` and `client`.
"""

VERSION = "0.1.0"
