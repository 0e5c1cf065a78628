"""The configuration of one server's nginx: it answers every request with its own name."""

from __future__ import annotations

from pathlib import Path


def configuration(name: str, folder: Path, port: int) -> str:
    """An nginx.conf that touches nothing outside its folder. One process, no keep-alive: each request has its own TCP
    connection, and so its own flow."""
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
{temporary}    keepalive_timeout 0;
    default_type text/plain;
    server {{
        listen {port} default_server;
        return 200 "{name}\\n";
    }}
}}
"""
