# SPDX-License-Identifier: Apache-2.0
"""A network that fails when a test wants it to: connections are passed on, counted, held and cut."""
import socket
import threading


class Relay:
    """Passes connections on to `target` ("host:port", may change). `up` and `down` count bytes to and from it.

    hold_up, hold_down: after so many more bytes that way nothing moves any more, and `held` is set; release() ends
    that and cuts what is open, resume() ends it and cuts nothing. cut_every: connections are cut each time so many bytes
    have passed; cut_next: a function that says after how many the next time. `piece`: so many bytes at a time, each as a packet of its own. `record`: keep what goes up, in `sent`.
    look_for: how often these bytes come down whole in a piece is counted in `found`."""

    def __init__(self, target, piece=None, record=False):
        self.piece, self.record, self.sent = piece, record, []
        self.look_for, self.found = None, 0
        self.target = target
        self.up = self.down = self.open = self.cuts = 0
        self.cut_every = self.cut_next = None
        self.limits = {"up": None, "down": None}
        self.held = threading.Event()
        self.changed = threading.Condition()
        self.sockets, self.generation, self.since_cut = set(), 0, 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(30)
        self.release()

    def hold_up(self, count):
        self._hold("up", count)

    def hold_down(self, count):
        self._hold("down", count)

    def _hold(self, way, count):
        with self.changed:
            self.held.clear()
            self.limits[way] = getattr(self, way) + count

    def wait_held(self):
        assert self.held.wait(30), f"{self.up} bytes up and {self.down} down are not enough to hold"

    def release(self):
        with self.changed:
            self.limits = {"up": None, "down": None}
            self.held.clear()
            self._cut_locked()
            self.changed.notify_all()

    def resume(self):
        with self.changed:
            self.limits = {"up": None, "down": None}
            self.held.clear()
            self.changed.notify_all()

    def _cut_locked(self):
        self.generation += 1
        self.since_cut = 0
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        host, port = self.target.split(":")
        try:
            server = socket.create_connection((host, int(port)), timeout=30)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            generation = self.generation
            self.sockets |= {client, server}
            self.open += 1
            self.changed.notify_all()
        back = threading.Thread(target=self._pass, args=(server, client, "down", generation), daemon=True)
        back.start()
        self._pass(client, server, "up", generation)
        back.join()
        with self.changed:
            self.sockets -= {client, server}
            self.open -= 1
        client.close()
        server.close()

    def _pass(self, source, sink, way, generation):
        try:
            while data := source.recv(1 << 16):
                if not self._count(way, len(data), generation):
                    break
                if self.look_for is not None and way == "down":
                    self.found += data.lower().count(self.look_for)
                if self.record and way == "up":
                    self.sent.append(data)
                for at in range(0, len(data), self.piece or len(data)):
                    sink.sendall(data[at:at + (self.piece or len(data))])
        except OSError:
            pass
        for one in (source, sink):  # whoever ends, both end: half-open connections are not ours
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _count(self, way, n, generation):
        """False: this connection has been cut."""
        with self.changed:
            while self.generation == generation:
                limit = self.limits[way]
                if limit is None and not self.held.is_set():
                    break
                if not self.held.is_set() and getattr(self, way) + n <= limit:
                    break
                self.held.set()
                self.changed.wait(30)
            if self.generation != generation:
                return False
            setattr(self, way, getattr(self, way) + n)
            self.since_cut += n
            if self.cut_every is not None and self.since_cut >= self.cut_every:
                self.cuts += 1
                if self.cut_next is not None:
                    self.cut_every = self.cut_next()
                self._cut_locked()
                return False
            return True

    def wait_open(self, count):
        """Until so many connections are open at once."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.open >= count, 30), self.open
