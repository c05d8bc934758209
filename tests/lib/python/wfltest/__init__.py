# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the protocol's client side, made from docs/protocol.md alone.

Tests speak with it to the real server, so an error that the C client and the server shared would show.
"""
from .keys import Grant, Key, issue, link  # noqa: F401
from .signing import Credential, canonical, signed_headers  # noqa: F401
from .http1 import Connection, Response  # noqa: F401
from .server import Server, binary, memory_bound, source_root, wait_until  # noqa: F401
from .client import Client, ProtocolError  # noqa: F401
from . import wire  # noqa: F401
