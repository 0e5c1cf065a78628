"""Configure from a session file and read a table, by netmiko and its driver `generic`."""

import json

from common import COMMAND, PROMPT, REFUSED, TEMPLATE, arguments, lines
from netmiko import ConfigInvalidException, ConnectHandler

options = arguments(__doc__)
with ConnectHandler(
    device_type="generic",
    host=options.host,
    port=options.port,
    username=options.user,
    use_keys=True,
    key_file=str(options.key),
    ssh_strict=True,
    alt_host_keys=True,
    alt_key_file=str(options.known_hosts),
) as shell:
    shell.set_base_prompt()  # the driver knows no prompt by itself, and would not wait for one
    try:
        shell.send_config_set(
            lines(options.session),
            enter_config_mode=False,  # `configure KIND NAME` is a line like any other
            exit_config_mode=False,
            error_pattern=REFUSED,
            terminator=PROMPT,  # else it is `#`, which may stand in a line
        )
    except ConfigInvalidException as exc:
        raise SystemExit(f"refused: {exc}") from None
    print(json.dumps(shell.send_command(COMMAND, use_textfsm=True, textfsm_template=str(TEMPLATE))))
