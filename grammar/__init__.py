"""The language: the object model as data, the tree of commands, and what a line means against both.

Pure: no files but its own data, no terminal, no packets; imports nothing of `avi_shell` or `dataplane`.
"""
