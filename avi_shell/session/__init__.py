"""One operator's session: a line in, a result out."""
