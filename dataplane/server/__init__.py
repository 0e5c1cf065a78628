"""The pool member's side: prepares a server for direct server return, checks it, undoes it (`avi-server`)."""
