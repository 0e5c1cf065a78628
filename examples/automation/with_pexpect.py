"""Configure from a session file and read a table, by pexpect and ssh."""

import json
import re

import pexpect
import textfsm
from common import COMMAND, PROMPT, REFUSED, TEMPLATE, arguments, lines, refused

options = arguments(__doc__)
ssh = f"ssh -p {options.port} -i {options.key} -o UserKnownHostsFile={options.known_hosts} -o BatchMode=yes"
shell = pexpect.spawn(f"{ssh} {options.user}@{options.host}", encoding="utf-8", dimensions=(50, 500))
shell.expect(PROMPT)


def run(line: str) -> str:
    """What the shell prints of a line. Ends the program where the line is refused."""
    shell.sendline(line)
    shell.expect_exact(f"{line}\r\n")
    shell.expect(f"(?:^|\n){PROMPT}")
    told = str(shell.before).replace("\r", "")
    if re.search(REFUSED, told, re.MULTILINE):
        refused(line, told)
    return told


for typed in lines(options.session):
    run(typed)
with TEMPLATE.open(encoding="utf-8") as template:
    print(json.dumps(textfsm.TextFSM(template).ParseTextToDicts(run(COMMAND))))
shell.sendline("quit")
shell.expect(pexpect.EOF)
