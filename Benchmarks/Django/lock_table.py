"""`lock_table.py ADDRESS PORT`: what stands for DynamoDB. It ends with its standard input."""

import os
import sys
import threading

import waitress
from moto.server import DomainDispatcherApplication, create_backend_app


def end_with_input():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
# One thread: with several, moto lets several conditional writes win.
waitress.serve(
    DomainDispatcherApplication(create_backend_app),
    host=sys.argv[1], port=int(sys.argv[2]), threads=1, connection_limit=200, _quiet=True,
)
