// One application of a shop, traced by Pinpoint's agent for Node.js: a front that
// asks a back (NEXT), and a back that asks MySQL; both use Redis.
//
//	PORT HOST NEXT MYSQL REDIS (host:port), and PINPOINT_* for the agent
require('pinpoint-node-agent')
const http = require('http')
const express = require('express')
const Redis = require('ioredis')
const mysql = require('mysql2')

const at = (s) => { const i = s.lastIndexOf(':'); return { host: s.slice(0, i), port: Number(s.slice(i + 1)) } }
const redis = new Redis({ ...at(process.env.REDIS), maxRetriesPerRequest: 2 })
const db = process.env.MYSQL && mysql.createPool({ ...at(process.env.MYSQL), user: 'root', connectionLimit: 4 })
const agent = new http.Agent({ keepAlive: true })

// http.request and not http.get: the agent traces only the former.
const ask = (url) => new Promise((resolve, reject) => {
  const req = http.request(url, { agent }, (res) => {
    let text = ''
    res.on('data', (d) => { text += d })
    res.on('end', () => resolve(text))
  })
  req.on('error', reject)
  req.end()
})

const app = express()
app.get('/order/:id', async (req, res) => {
  const stock = await ask(`${process.env.NEXT}/stock/${req.params.id}`)
  await redis.set(`order:${req.params.id}`, stock)
  res.send(`order ${req.params.id}: ${stock}`)
})
app.get('/stock/:id', async (req, res) => {
  const seen = await redis.get(`stock:${req.params.id}`)
  const [rows] = await db.promise().query('SELECT ? + 40 AS n', [Number(req.params.id)])
  res.send(`${rows[0].n} ${seen}`)
})
app.get('/ready', (req, res) => res.send('yes'))
const server = app.listen(Number(process.env.PORT), process.env.HOST || '127.0.0.1')
// Else it closes an idle connection just as the front sends on it.
server.keepAliveTimeout = 600000
