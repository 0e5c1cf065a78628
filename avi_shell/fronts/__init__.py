"""Where lines come from and results go: terminal, files and pipes; and the engine started beside a shell."""
