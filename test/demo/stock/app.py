# The service that knows the stock, of the microservice demo: Python's own HTTP
# server, a thread a connection. Not a line of tracing.
import socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, redis = (int(a) for a in sys.argv[1:3])


class Stock(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece

    def setup(self):
        super().setup()
        self.cache = socket.create_connection(("127.0.0.1", redis))

    def do_GET(self):
        key = b"order:" + self.path.rsplit("/", 1)[1].encode()
        self.cache.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$2\r\nok\r\n" % (len(key), key))
        self.cache.recv(64)
        self.send_response(200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"3 in shop")
        self.wfile.flush()

    def finish(self):
        super().finish()
        self.cache.close()

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Stock).serve_forever()
