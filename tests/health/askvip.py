#!/usr/bin/env python3
"""The script of an EXTERNAL monitor: it connects to the VIP. Its text is the monitor's `script`."""

from __future__ import annotations

import os
import socket

if __name__ == "__main__":
    print(socket.create_connection((os.environ["IP"], int(os.environ["PORT"]))))
