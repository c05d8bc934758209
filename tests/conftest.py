# SPDX-License-Identifier: Apache-2.0
"""What tests over sockets share: a server for each module, a client that may do everything, a fresh bucket."""
import itertools
import os
import signal
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib", "python"))
os.environ.setdefault("WFL_SOURCE_ROOT", os.path.dirname(HERE))
os.environ.setdefault("WFL_BUILD_ROOT", os.path.join(os.path.dirname(HERE), "build"))

from wfltest import Client, Server  # noqa: E402

# A shell starts what it runs in the background with Ctrl-C ignored, and programs leave that so. Tests press it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@pytest.fixture(params=[1, 2], ids=["http1", "http2"])
def client(request, server):
    """Both transports: what a test says of one must hold for the other."""
    with Client(server, http=request.param) as made:
        yield made


@pytest.fixture
def client1(server):
    with Client(server) as made:
        yield made


@pytest.fixture
def bucket(server):
    name = f"bucket-{next(numbers)}"
    with Client(server) as maker:
        maker.make_bucket(name)
    return name
