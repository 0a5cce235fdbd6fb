// SPDX-License-Identifier: MIT
// A client for Node: creates a user, and reads it again. docs/clients.md says how to run it.
//   node client.js [ADDRESS]
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const file = path.join(process.env.PROTO || 'proto', 'user_service.proto');
const {userservice} = grpc.loadPackageDefinition(loader.loadSync(file, {keepCase: true, longs: Number}));
const client = new userservice.UserService(process.argv[2] || '127.0.0.1:50051',
  grpc.credentials.createInsecure());

// Resolves to the reply, or throws an error that has the status's code and details.
function call(method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, {deadline: Date.now() + 5000},
      (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

async function main() {
  const made = await call('CreateUser', {username: 'node', email: 'node@example.org'});
  const user = await call('GetUser', {id: made.id});
  console.log(user.username, user.email, user.roles.join(','));
  try {
    await call('GetUser', {id: 'nobody'});
  } catch (error) {
    console.log(grpc.status[error.code], error.details);
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
}).finally(() => client.close());
