'use strict';
// A service of SOFARPC's own implementation for Node.js: node server.js PORT
const { RpcServer } = require('sofa-rpc-node').server;

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const server = new RpcServer({ logger: quiet, port: Number(process.argv[2]) });
server.addService({ interfaceName: 'test.Orders' }, {
  async find(id) {
    if (id % 10 === 0) throw new Error('no such order');
    return { id, state: 'open' };
  },
});
server.start();
