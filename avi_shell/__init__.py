"""One operator's shell and the configuration behind it.

Imports `grammar`, and of `dataplane` only the plan, the client of the engines' live queries, their errors, and the
recipe for servers.
"""
