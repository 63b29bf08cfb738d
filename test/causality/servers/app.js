// Node: two upstream calls at once over a keep-alive agent, then one more.
const http = require('http')
const [port, backend] = [Number(process.argv[2]), Number(process.argv[3])]
const agent = new http.Agent({ keepAlive: true, maxSockets: Number(process.argv[4] || 256) })

function get (path) {
  return new Promise((resolve, reject) => {
    http.get({ port: backend, host: '127.0.0.1', path, agent }, r => {
      r.resume()
      r.on('end', resolve)
    }).on('error', reject)
  })
}

http.createServer(async (q, s) => {
  const nonce = q.url.slice(q.url.lastIndexOf('/') + 1)
  await Promise.all([get('/up/' + nonce), get('/side/' + nonce)])
  await get('/last/' + nonce)
  s.end(nonce)
}).listen({ port, host: '127.0.0.1', backlog: 512 })
