# Worker processes, each one connection and one request at a time.
import os, socket, sys, threading
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common

port = common.setup(sys.argv)
s = socket.create_server(("127.0.0.1", port), backlog=512)
for _ in range(3):
    if os.fork() == 0:
        break
calls = common.Calls()
while True:
    c, _ = s.accept()
    nonce, _ = common.read_request(c, b"")
    if nonce is not None:
        calls.all(nonce)
        common.answer(c, nonce)
    c.close()
