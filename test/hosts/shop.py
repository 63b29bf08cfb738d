# The shop without instrumentation: a thread per connection, as blocking servers
# are. Go's net/http client writes on another goroutine than the handler's, and
# only probes in the program can tell whose request it is; this asks what can be
# seen from outside.
#
#	shop.py ADDRESS PORT STORE-ADDRESS STORE-PORT REDIS-ADDRESS REDIS-PORT
import os, socket, sys, threading, time

slow = os.environ.get("SLOW_ACCEPT", "")  # while there is such a file, connections are taken late
here, store, redis = ((sys.argv[i], int(sys.argv[i + 1])) for i in (1, 3, 5))


def message(f):
    """A message of HTTP: its first line and its body."""
    first = f.readline()
    length = 0
    while (line := f.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return first, f.read(length)


def serve(c):
    f = c.makefile("rb")
    up = cache = None
    while True:
        first, _ = message(f)
        if not first:
            return
        if up is None:
            up = socket.create_connection(store)
            cache = socket.create_connection(redis)
            answers = up.makefile("rb")
        order = first.split(b" ", 2)[1].rsplit(b"/", 1)[1]
        key = b"shop:" + order
        cache.sendall(b"*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(key), key))
        cache.recv(64)
        up.sendall(b"GET /orders/%s HTTP/1.1\r\nHost: store\r\n\r\n" % order)
        _, body = message(answers)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


s = socket.create_server(here, backlog=128)
while True:
    c, _ = s.accept()
    if os.path.exists(slow):
        time.sleep(0.2)
    threading.Thread(target=serve, args=(c,), daemon=True).start()
