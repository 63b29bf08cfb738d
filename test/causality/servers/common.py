# What the Python servers share: reading a request, and the calls that they make.
# The nonce of a request is the last part of its path; it goes on in the path or
# key of every call, where the tracer does not look.
import socket

BACKEND = REDIS = None


def setup(argv):
    global BACKEND, REDIS
    BACKEND, REDIS = int(argv[2]), int(argv[3])
    return int(argv[1])


def read_request(c, buf):
    """The nonce of the next request on c, what is left over; None at the end."""
    while b"\r\n\r\n" not in buf:
        more = c.recv(65536)
        if not more:
            return None, b""
        buf += more
    head, buf = buf.split(b"\r\n\r\n", 1)
    return head.split(b" ", 2)[1].rsplit(b"/", 1)[1].decode(), buf


def answer(c, nonce):
    body = nonce.encode()
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class Calls:
    """Connections of one thread, used for one call after another."""

    def __init__(self):
        self.http = socket.create_connection(("127.0.0.1", BACKEND))
        self.redis = socket.create_connection(("127.0.0.1", REDIS))

    def get(self, nonce):
        self.http.sendall(b"GET /up/%s HTTP/1.1\r\nHost: b\r\n\r\n" % nonce.encode())
        buf = b""
        while b"\r\n\r\n" not in buf or not buf.endswith(b"!"):
            buf += self.http.recv(65536)

    def cache(self, nonce):
        key = b"k:" + nonce.encode()
        self.redis.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
        self.redis.recv(65536)

    def all(self, nonce):
        self.cache(nonce)
        self.get(nonce)
        self.cache(nonce)
