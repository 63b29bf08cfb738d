# The service behind the gateway of the demo: plain Python, without a line of
# tracing. It looks a name up, asks the database and the cache, and answers.
import os, random, socket, struct, sys, threading, time

slow = os.environ.get("SLOW_STORE", "")  # while there is such a file, answers come late
port, db, redis, dns = (int(a) for a in sys.argv[1:5])


def look_up(s, name):
    q = struct.pack(">HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0)
    q += b"".join(bytes([len(p)]) + p for p in name.encode().split(b".")) + b"\0\0\1\0\1"
    s.sendto(q, ("127.0.0.1", dns))
    s.recv(512)


class SQL:
    """As much of MySQL's protocol as a SELECT needs."""

    def __init__(self):
        self.s = socket.create_connection(("127.0.0.1", db))
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


def serve(c):
    sql = SQL()
    cache = socket.create_connection(("127.0.0.1", redis))
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    buf = b""
    while True:
        while b"\r\n\r\n" not in buf:
            more = c.recv(65536)
            if not more:
                return
            buf += more
        head, buf = buf.split(b"\r\n\r\n", 1)
        order = head.split(b" ", 2)[1].rsplit(b"/", 1)[1].decode()
        look_up(names, "order" + order + ".demo.test")
        sql.query("SELECT table_name FROM information_schema.tables WHERE table_name = 'order " + order + "'")
        key = b"order:" + order.encode()
        cache.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$2\r\nok\r\n" % (len(key), key))
        cache.recv(64)
        if os.path.exists(slow):
            time.sleep(0.2)
        body = b"order %s\n" % order.encode()
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


s = socket.create_server((sys.argv[5] if len(sys.argv) > 5 else "127.0.0.1", port), backlog=128)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
