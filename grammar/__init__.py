"""The shell's language: the object model as data, the tree of commands, and the meaning of a line by both.

Pure: no files but its own data, no terminal, no packets; imports nothing of `avi_shell` or `dataplane`.
"""
