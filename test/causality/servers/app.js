// Node: two upstream calls at once over a keep-alive agent, then one more; served
// by express or by http alone, as the third argument says.
const http = require('http')
const [port, backend] = [Number(process.argv[2]), Number(process.argv[3])]
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 })

function get (path) {
  return new Promise((resolve, reject) => {
    http.get({ port: backend, host: '127.0.0.1', path, agent }, r => {
      r.resume()
      r.on('end', resolve)
    }).on('error', reject)
  })
}

async function serve (nonce, s) {
  await Promise.all([get('/up/' + nonce), get('/side/' + nonce)])
  await get('/last/' + nonce)
  s.end(nonce)
}

let app = (q, s) => serve(q.url.slice(q.url.lastIndexOf('/') + 1), s)
if (process.argv[4] === 'express') {
  app = require('express')()
  app.get('/:what/:nonce', (q, s) => serve(q.params.nonce, s))
}
http.createServer(app).listen({ port, host: '127.0.0.1', backlog: 512 })
