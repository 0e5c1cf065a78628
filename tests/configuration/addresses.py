"""Addresses and prefixes as stored, from text."""

import ipaddress

from avi_shell.configuration.document import Document


def address(text: str) -> Document:
    try:
        return {"addr": text, "type": f"V{ipaddress.ip_address(text).version}"}
    except ValueError:
        return {"addr": text, "type": "DNS"}


def prefix(text: str) -> Document:
    base, _, length = text.partition("/")
    return {"ip_addr": address(base), "mask": int(length)}
