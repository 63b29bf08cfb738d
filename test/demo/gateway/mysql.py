# As much of a client of MySQL as the Python servers of the tests need.
import socket, struct


class SQL:
    """As much of MySQL's protocol as a SELECT needs."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port))
        self.f = self.s.makefile("rb")
        self.packet()  # the greeting
        caps = 0x200 | 0x8000 | 0x80000  # 4.1, its authentication, its plugin
        self.send(1, struct.pack("<IIB23x", caps, 1 << 24, 45) + b"root\0\0mysql_native_password\0")
        if self.packet()[0] == 0xFE:  # another plugin is asked for: nothing to prove
            self.send(3, b"")
            self.packet()

    def packet(self):
        head = self.f.read(4)
        return self.f.read(head[0] | head[1] << 8 | head[2] << 16)

    def send(self, n, b):
        self.s.sendall(struct.pack("<I", len(b))[:3] + bytes([n]) + b)

    def query(self, text):
        self.send(0, b"\3" + text.encode())
        ends = 0
        while ends < 2:  # the columns end, then the rows
            p = self.packet()
            if p[0] == 0xFF:
                raise RuntimeError(p)
            ends += p[0] == 0xFE and len(p) < 9
