# The service behind the gateway of the demo: plain Python, without a line of
# tracing. It looks a name up, asks the database and the cache, and answers.
import os, random, socket, struct, sys, threading, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mysql

slow = os.environ.get("SLOW_STORE", "")  # while there is such a file, answers come late
port, db, redis, dns = (int(a) for a in sys.argv[1:5])


def look_up(s, name):
    q = struct.pack(">HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0)
    q += b"".join(bytes([len(p)]) + p for p in name.encode().split(b".")) + b"\0\0\1\0\1"
    s.sendto(q, ("127.0.0.1", dns))
    s.recv(512)


def serve(c):
    sql = mysql.SQL(db)
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
