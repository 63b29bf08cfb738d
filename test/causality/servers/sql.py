# One thread a connection, blocking, with MySQL and Redis.
import os, socket, sys, threading
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "demo", "gateway"))
import common, mysql

port = common.setup(sys.argv)
database = int(sys.argv[4])


def serve(c):
    calls, sql, buf = common.Calls(), mysql.SQL(database), b""
    while True:
        nonce, buf = common.read_request(c, buf)
        if nonce is None:
            return
        calls.cache(nonce)
        sql.query("SELECT '" + nonce + "'")
        calls.cache(nonce)
        common.answer(c, nonce)


s = socket.create_server(("127.0.0.1", port), backlog=512)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
