# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 with prior knowledge, or over TLS by ALPN, by h2 on a socket."""
import h2.config
import h2.connection
import h2.events

from .http1 import Response, connect


class Connection2:
    def __init__(self, address, timeout=20, tls=None):
        self.address, self.scheme = address, "https" if tls else "http"
        self.socket = connect(address, timeout, tls)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window((1 << 24) - 65535)
        self.answers = {}
        self.ended = set()
        self.reset = {}
        self.goaway = False
        self.raw = b""
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

    def _without_goaway(self, data):
        """Whole frames. After a GOAWAY open streams go on (RFC 9113, 6.8), but h2 would take no more of them."""
        self.raw += data
        frames = b""
        while len(self.raw) >= 9 and len(self.raw) >= (end := 9 + int.from_bytes(self.raw[:3], "big")):
            frame, self.raw = self.raw[:end], self.raw[end:]
            if frame[3] == 7:
                self.goaway = True
            else:
                frames += frame
        return frames

    def pump(self):
        """Take what the server sent. False at its end."""
        data = self.socket.recv(1 << 18)
        if not data:
            return False
        for event in self.h2.receive_data(self._without_goaway(data)):
            if isinstance(event, h2.events.ResponseReceived):
                headers = [(n, v) for n, v in event.headers if not n.startswith(":")]
                self.answers[event.stream_id] = Response(int(dict(event.headers)[":status"]), headers, bytearray())
            elif isinstance(event, h2.events.DataReceived):
                self.answers[event.stream_id].body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset[event.stream_id] = event.error_code
        self.flush()
        return True

    def send_head(self, method, target, headers=(), authority=None, end=False):
        """Send a request's head; its stream."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", self.scheme), (":authority", authority or self.address),
                  (":path", target)] + [(n.lower(), v) for n, v in headers]
        self.h2.send_headers(stream, fields, end_stream=end)
        return stream

    def send_body(self, stream, body, end=True):
        """As the windows allow. False: the server does not want the rest."""
        at = 0
        while True:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if stream in self.ended or stream in self.reset:
                return False
            if room == 0 and at < len(body):
                self.flush()
                if not self.pump():
                    raise EOFError("the connection ended in an upload")
                continue
            last = at + room >= len(body)
            self.h2.send_data(stream, body[at:at + room], end_stream=end and last)
            at += room
            if last:
                self.flush()
                return True

    def start(self, method, target, headers=(), body=None, authority=None):
        """Send a request whole; the answer is for `finish`."""
        if body is not None:
            headers = [*headers, ("content-length", str(len(body)))]
        stream = self.send_head(method, target, headers, authority, end=body is None)
        if body is not None:
            self.send_body(stream, body)
        self.flush()
        return stream

    def finish(self, stream):
        while stream not in self.ended:
            if stream in self.reset:
                raise ConnectionResetError(f"stream {stream} was reset: {self.reset[stream]}")
            if not self.pump():
                raise EOFError("the connection ended before the answer")
        answer = self.answers.pop(stream)
        answer.body = bytes(answer.body)
        return answer

    def request(self, method, target, headers=(), body=None, host=None):
        return self.finish(self.start(method, target, headers, body, host))

    def stream(self, method, target, pieces, headers=(), host=None):
        """A body of unknown length: its end is the stream's."""
        stream = self.send_head(method, target, headers, host)
        if all(self.send_body(stream, piece, end=False) for piece in pieces):
            self.h2.end_stream(stream)
        self.flush()
        return self.finish(stream)
