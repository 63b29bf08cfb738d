'use strict';
// Calls the service N times and says what came of it: node client.js PORT N
const { RpcClient } = require('sofa-rpc-node').client;

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
(async () => {
  const [ port, n ] = process.argv.slice(2).map(Number);
  const consumer = new RpcClient({ logger: quiet }).createConsumer({ interfaceName: 'test.Orders', serverHost: `127.0.0.1:${port}` });
  await consumer.ready();
  const said = {};
  for (let i = 0; i < n; i++) {
    let name = 'find';
    try {
      const order = await consumer.invoke('find', [ i ], { responseTimeout: 10000 });
      if (order.id !== i) throw new Error(`asked for ${i}, got ${JSON.stringify(order)}`);
    } catch (err) {
      if (i % 10 !== 0) throw err;
      name = 'find failed';
    }
    said[name] = (said[name] || 0) + 1;
  }
  console.log(JSON.stringify(said));
  process.exit(0);
})().catch(err => {
  console.error(err);
  process.exit(1);
});
