"""Results of commands as data, and how they become tables, JSON or text."""
