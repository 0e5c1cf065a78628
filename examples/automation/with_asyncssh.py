"""Configure from a session file and read a table, by asyncssh: in batch, so that the exit status tells."""

import asyncio
import json

import asyncssh
import textfsm
from common import COMMAND, TEMPLATE, arguments

options = arguments(__doc__)


async def main() -> None:
    """Log in, run the session, read the table."""
    async with asyncssh.connect(
        options.host,
        options.port,
        username=options.user,
        client_keys=[str(options.key)],
        known_hosts=str(options.known_hosts),
    ) as host:
        try:
            await host.run("avi-shell -f -", input=options.session.read_text("utf-8"), check=True)
        except asyncssh.ProcessError as exc:
            raise SystemExit(f"refused: {exc.stderr!s}") from None
        told = await host.run(f"avi-shell -c '{COMMAND}'", check=True)
    with TEMPLATE.open(encoding="utf-8") as template:
        print(json.dumps(textfsm.TextFSM(template).ParseTextToDicts(str(told.stdout))))


asyncio.run(main())
