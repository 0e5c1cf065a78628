"""Bytes from outside, checked in one place before anything believes them: text, JSON, files."""
