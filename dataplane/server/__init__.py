"""The pool member's side: prepare, check, undo (`avi-server`)."""
