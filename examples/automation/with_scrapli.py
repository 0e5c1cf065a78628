"""Configure from a session file and read a table, by scrapli and the platform of `avi_shell.yaml`."""

import json

from common import COMMAND, HERE, TEMPLATE, arguments, lines, refused
from scrapli import AuthOptions, Cli, TransportBinOptions

options = arguments(__doc__)
with Cli(
    options.host,
    port=options.port,
    definition_file_or_name=str(HERE / "avi_shell.yaml"),
    auth_options=AuthOptions(username=options.user, private_key_path=str(options.key), bypass_in_session_auth=True),
    transport_options=TransportBinOptions(enable_strict_key=True, known_hosts_path=str(options.known_hosts)),
) as shell:
    typed = lines(options.session)
    done = shell.send_inputs(typed, stop_on_indicated_failure=True)
    if done.failed:
        refused(done.inputs[-1], done.results[-1])
    print(json.dumps(shell.send_input(COMMAND).textfsm_parse(template=str(TEMPLATE))))
