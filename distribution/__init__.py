"""How the product is handed out: man pages, completion, a Debian package, a container."""
