"""Events: what happened to an engine, as data: told by its parts, logged, remembered, kept on disk."""
