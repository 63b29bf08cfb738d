# asyncio: one thread, many requests at once, calls over a pool of connections.
import asyncio, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common

port = common.setup(sys.argv)
size = int(sys.argv[4])


class Pool:
    def __init__(self, port):
        self.port, self.free, self.made, self.wait = port, [], 0, asyncio.Semaphore(size)

    async def __aenter__(self):
        await self.wait.acquire()
        return self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)

    def give(self, conn):
        self.free.append(conn)
        self.wait.release()


async def get(nonce):
    conn = await http.__aenter__()
    r, w = conn
    w.write(b"GET /up/%s HTTP/1.1\r\nHost: b\r\n\r\n" % nonce.encode())
    await r.readuntil(b"!")
    http.give(conn)


async def cache(nonce):
    conn = await redis.__aenter__()
    r, w = conn
    key = b"k:" + nonce.encode()
    w.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
    await r.readline()
    redis.give(conn)


async def serve(r, w):
    try:
        while True:
            head = await r.readuntil(b"\r\n\r\n")
            nonce = head.split(b" ", 2)[1].rsplit(b"/", 1)[1].decode()
            await cache(nonce)
            await get(nonce)
            body = nonce.encode()
            w.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionResetError):
        w.close()


async def main():
    global http, redis
    http, redis = Pool(common.BACKEND), Pool(common.REDIS)
    await (await asyncio.start_server(serve, "127.0.0.1", port, backlog=512)).serve_forever()


asyncio.run(main())
