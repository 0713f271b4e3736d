// Users, roles and privileges through the Node SDK; one script for every version of the SDK.
// Wants E2E_GRPC of a server that asks for a user, E2E_TOKEN of root, and the SDK in NODE_PATH.

const assert = require('node:assert/strict');
const { test, after } = require('node:test');
const { MilvusClient, DataType } = require('@zilliz/milvus2-sdk-node');

const SHELF = 'node_shelf';
const USER = 'node_user';
const ROLE = 'node_role';
const address = process.env.E2E_GRPC;
const [rootName, rootPassword] = process.env.E2E_TOKEN.split(':');
const clients = [];

function login(username, password) {
  const client = new MilvusClient({ address, username, password, maxRetries: 0 });
  // It connects by itself. A login that is refused then is one that no call has waited for yet.
  client.connectPromise?.catch(() => {});
  clients.push(client);
  return client;
}

async function ok(answer) {
  const value = await answer;
  const status = value.status ?? value;
  assert.equal(status.error_code, 'Success', JSON.stringify(status));
  return value;
}

// The SDK throws for a call that is refused, or gives its status back.
async function refused(call, pattern) {
  let found;
  try {
    found = await call();
  } catch (error) {
    found = { reason: error.details ?? error.message };
  }
  assert.match(JSON.stringify(found), pattern);
}

after(async () => {
  for (const client of clients) await client.closeConnection();
});

test('a user may do what a role of it may', async () => {
  const root = login(rootName, rootPassword);
  await ok(root.createCollection({
    collection_name: SHELF,
    fields: [
      { name: 'key', description: 'key', data_type: DataType.Int64, is_primary_key: true },
      { name: 'vector', description: 'vector', data_type: DataType.FloatVector, dim: 2 },
    ],
  }));
  await ok(root.createUser({ username: USER, password: 'secret1' }));
  await ok(root.createRole({ roleName: ROLE }));
  await ok(root.addUserToRole({ username: USER, roleName: ROLE }));
  assert.ok((await ok(root.listUsers())).usernames.includes(USER));

  const user = login(USER, 'secret1');
  const insert = () => user.insert({ collection_name: SHELF, data: [{ key: 1, vector: [1, 2] }] });
  await refused(insert, /PrivilegeInsert: permission deny to node_user/);
  const privilege = { roleName: ROLE, object: 'Collection', objectName: SHELF, privilegeName: 'Insert' };
  await ok(root.grantRolePrivilege(privilege));
  await ok(insert());
  await refused(() => user.dropCollection({ collection_name: SHELF }), /PrivilegeDropCollection: permission deny/);
  await ok(root.revokeRolePrivilege(privilege));
  await refused(insert, /permission deny/);
  await refused(() => login(USER, 'secret2').listCollections(), /auth check failure|UNAUTHENTICATED/i);

  await ok(root.deleteUser({ username: USER }));
  await ok(root.dropRole({ roleName: ROLE }));
  await ok(root.dropCollection({ collection_name: SHELF }));
});
