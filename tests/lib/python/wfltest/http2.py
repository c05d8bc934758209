# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 with prior knowledge, by h2 on a socket."""
import socket

import h2.config
import h2.connection
import h2.events

from .http1 import Response


class Connection2:
    def __init__(self, address, timeout=20):
        host, port = address.rsplit(":", 1)
        self.address = address
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window((1 << 24) - 65535)
        self.answers = {}
        self.ended = set()
        self.reset = {}
        self.goaway = False
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def pump(self):
        """Take what the server sent. False at its end."""
        data = self.socket.recv(1 << 18)
        if not data:
            return False
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                headers = [(n, v) for n, v in event.headers if not n.startswith(":")]
                self.answers[event.stream_id] = Response(int(dict(event.headers)[":status"]), headers)
            elif isinstance(event, h2.events.DataReceived):
                self.answers[event.stream_id].body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset[event.stream_id] = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = True
        self.flush()
        return True

    def start(self, method, target, headers=(), body=None, authority=None):
        """Send a request whole; the answer is for `finish`."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", authority or self.address),
                  (":path", target)] + [(n.lower(), v) for n, v in headers]
        if body is not None:
            fields.append(("content-length", str(len(body))))
        self.h2.send_headers(stream, fields, end_stream=body is None)
        at = 0
        while body is not None:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if stream in self.ended or stream in self.reset:
                break
            if room == 0 and at < len(body):
                self.flush()
                if not self.pump():
                    raise EOFError("the connection ended in an upload")
                continue
            last = at + room >= len(body)
            self.h2.send_data(stream, body[at:at + room], end_stream=last)
            at += room
            if last:
                break
        self.flush()
        return stream

    def finish(self, stream):
        while stream not in self.ended:
            if stream in self.reset:
                raise ConnectionResetError(f"stream {stream} was reset: {self.reset[stream]}")
            if not self.pump():
                raise EOFError("the connection ended before the answer")
        return self.answers.pop(stream)

    def request(self, method, target, headers=(), body=None, host=None):
        return self.finish(self.start(method, target, headers, body, host))
