# SPDX-License-Identifier: Apache-2.0
"""Presigned URLs (protocol, Signed requests)."""
from urllib.parse import quote

from .keys import b64u
from .signing import canonical, timestamp


def presign(client, method, target, headers=(), expires=300, at=None, authority=None, **change):
    """The target with a credential in its query. `change`: other values for parameters, None takes one away; the
    signature covers the change, but for a changed signature."""
    parameters = {"wfl-packet": client.packet, "wfl-timestamp": timestamp(at, decimals=0), "wfl-expires": str(expires)}
    change = {f"wfl-{name}": value for name, value in change.items()}
    for name, value in change.items():
        parameters[name] = value
    given = "&".join(f"{n}={quote(v, safe='')}" for n, v in parameters.items() if v is not None and n != "wfl-signature")
    target += ("&" if "?" in target else "?") + given
    text = canonical(method, target, authority or client.server.address, headers, client.packet)
    signature = change.get("wfl-signature", b64u(client.key.sign(text)))
    return target if signature is None else f"{target}&wfl-signature={signature}"
