"""The language: the object model as data, leaf values, a line against a mode. Pure: no files but its own data, no
terminal, no packets; imports nothing of `avi_shell` or `dataplane`.
"""
