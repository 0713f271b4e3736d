// Compaction through the Node SDK, as in its documentation; one script for every version of the SDK.
// Wants E2E_GRPC, and the SDK in NODE_PATH.

const assert = require('node:assert/strict');
const { test, before, after } = require('node:test');
const { MilvusClient, DataType } = require('@zilliz/milvus2-sdk-node');

const DIM = 8;
const SECONDS = 30;
const BOOK = 'node_book';

const client = new MilvusClient({ address: process.env.E2E_GRPC });
let datacoord;

// Every answer carries a status; nothing else tells an error.
async function ok(answer) {
  const value = await answer;
  const status = value.status ?? value;
  assert.equal(status.error_code, 'Success', JSON.stringify(status));
  return value;
}

async function waitUntil(what, holds) {
  const deadline = Date.now() + SECONDS * 1000;
  for (;;) {
    const answer = await holds();
    if (answer) return answer;
    assert.ok(Date.now() < deadline, `not after ${SECONDS} s: ${what}`);
    await new Promise(resume => setTimeout(resume, 100));
  }
}

const vector = key => Array.from({ length: DIM }, (_, place) => ((key * 31 + place * 7) % 1000) / 8);
const range = (first, end) => Array.from({ length: end - first }, (_, n) => first + n);

async function segments(name) {
  const { infos } = await ok(client.getPersistentSegmentInfo({ collectionName: name }));
  return infos.map(info => info.segmentID).sort();
}

async function count(name) {
  const answer = await client.query({
    collection_name: name, filter: '', expr: '', output_fields: ['count(*)'], consistency_level: 'Strong',
  });
  return Number((await ok(answer)).data[0]['count(*)']);
}

async function keys(name) {
  const answer = await ok(client.query({
    collection_name: name, filter: 'book_id >= 0', expr: 'book_id >= 0', output_fields: ['book_id'],
    consistency_level: 'Strong',
  }));
  return answer.data.map(row => Number(row.book_id)).sort((a, b) => a - b);
}

// Stock Milvus compacts only segments whose index is finished.
async function waitIndexed(name, rows) {
  await waitUntil('the index is finished', async () => {
    const { index_descriptions } = await ok(client.describeIndex({ collection_name: name }));
    return index_descriptions.every(index => index.state === 'Finished'
      && (datacoord || Number(index.indexed_rows) >= rows));
  });
}

async function writeBook(name) {
  await ok(client.createCollection({
    collection_name: name,
    consistency_level: 'Strong',
    fields: [
      { name: 'book_id', description: 'key', data_type: DataType.Int64, is_primary_key: true },
      { name: 'title', description: 'text', data_type: DataType.VarChar, max_length: 100 },
      { name: 'book_intro', description: 'vector', data_type: DataType.FloatVector, dim: DIM },
    ],
  }));
  for (const [first, end] of [[0, 500], [500, 900], [900, 1200]]) {
    const data = range(first, end).map(key => ({ book_id: key, title: `title ${key}`, book_intro: vector(key) }));
    const inserted = await ok(client.insert({ collection_name: name, data }));
    assert.equal(Number(inserted.insert_cnt), end - first);
    await ok(client.flushSync({ collection_names: [name] }));
  }
}

before(async () => {
  await client.connectPromise;
  datacoord = (await ok(client.getVersion())).version.includes('datacoord');
  await client.dropCollection({ collection_name: BOOK });
});

after(async () => {
  await client.dropCollection({ collection_name: BOOK });
  await client.closeConnection();
});

test('compaction keeps every row that was not deleted', async () => {
  await writeBook(BOOK);
  assert.equal((await ok(client.hasCollection({ collection_name: BOOK }))).value, true);
  const { stats } = await ok(client.getCollectionStatistics({ collection_name: BOOK }));
  assert.equal(Number(stats.find(pair => pair.key === 'row_count').value), 1200);

  const gone = range(0, 1200).filter(key => key % 10 === 0);
  const deleted = await ok(client.delete({ collection_name: BOOK, ids: gone }));
  assert.equal(Number(deleted.delete_cnt), gone.length);
  await ok(client.flushSync({ collection_names: [BOOK] }));
  await ok(client.createIndex({
    collection_name: BOOK, field_name: 'book_intro', index_type: 'IVF_FLAT', metric_type: 'L2',
    params: { nlist: 16 },
  }));
  await ok(client.loadCollectionSync({ collection_name: BOOK }));
  await waitIndexed(BOOK, 1200);
  assert.equal(await count(BOOK), 1200 - gone.length);
  const sources = await segments(BOOK);
  assert.equal(sources.length, 3);

  const { compactionID } = await ok(client.compact({ collection_name: BOOK }));
  assert.ok(BigInt(compactionID) > 0n);
  const state = await waitUntil('compaction is completed', async () => {
    const answer = await ok(client.getCompactionState({ compactionID }));
    assert.ok(['Executing', 'Completed'].includes(answer.state), answer.state);
    return answer.state === 'Completed' && answer;
  });
  assert.equal(Number(state.executingPlanNo), 0);
  assert.equal(Number(state.completedPlanNo), 1);

  const plans = await ok(client.getCompactionStateWithPlans({ compactionID }));
  assert.equal(plans.state, 'Completed');
  assert.equal(plans.mergeInfos.length, 1);
  assert.deepEqual([...plans.mergeInfos[0].sources].sort(), sources);
  assert.deepEqual(await segments(BOOK), [plans.mergeInfos[0].target]);

  assert.equal(await count(BOOK), 1200 - gone.length);
  assert.deepEqual(await keys(BOOK), range(0, 1200).filter(key => key % 10));
  const { data: [row] } = await ok(client.query({
    collection_name: BOOK, filter: 'book_id == 777', expr: 'book_id == 777', output_fields: ['title', 'book_intro'],
    consistency_level: 'Strong',
  }));
  assert.equal(row.title, 'title 777');
  assert.deepEqual([...row.book_intro], vector(777));
});

test('a second compaction has an id of its own, and a search still finds the nearest', async () => {
  const first = await ok(client.compact({ collection_name: BOOK }));
  const second = await ok(client.compact({ collection_name: BOOK }));
  assert.notEqual(first.compactionID, second.compactionID);
  for (const { compactionID } of [first, second]) {
    await waitUntil('compaction is completed', async () =>
      (await ok(client.getCompactionState({ compactionID }))).state === 'Completed');
  }
  const found = await ok(client.search({
    collection_name: BOOK, data: [vector(777)], anns_field: 'book_intro', limit: 1,
    output_fields: ['book_id', 'title'],
    metric_type: 'L2', consistency_level: 'Strong',
  }));
  const [nearest] = found.results.flat();
  assert.equal(nearest.book_id, '777');
  assert.equal(nearest.title, 'title 777');
});

test('descriptions of a loaded collection of one segment', async () => {
  const described = await ok(client.describeCollection({ collection_name: BOOK }));
  assert.equal(Number(described.shards_num), 1);
  assert.equal(BigInt(described.created_utc_timestamp), BigInt(described.created_timestamp) >> 18n);
  await waitIndexed(BOOK, 1080);
  const { index_descriptions: [index] } = await ok(client.describeIndex({ collection_name: BOOK }));
  const group = '__default_resource_group';
  assert.deepEqual((await ok(client.listResourceGroups())).resource_groups, [group]);
  const { resource_group: one } = await ok(client.describeResourceGroup({ resource_group: group }));
  assert.deepEqual([one.name, one.capacity, one.num_available_node], [group, 1000000, 1]);
  assert.deepEqual(one.num_loaded_replica, { [BOOK]: 1 });
  if (!datacoord) return;
  const { infos: [info] } = await ok(client.getPersistentSegmentInfo({ collectionName: BOOK }));
  // Older SDKs do not read these.
  if ('is_sorted' in info) assert.deepEqual([info.is_sorted, info.level], [true, 'L1']);
  if ('db_id' in described) assert.deepEqual([described.db_name, described.db_id], ['default', '1']);
  if ('pending_index_rows' in index) assert.equal(Number(index.pending_index_rows), 0);
  if (client.describeDatabase) {
    const database = await ok(client.describeDatabase({ db_name: 'default' }));
    assert.deepEqual([database.db_name, database.dbID, database.properties], ['default', '1', []]);
    const databases = await ok(client.listDatabases());
    assert.deepEqual(databases.db_ids, ['1']);
  }
});

test('missing collections and unknown ids', async () => {
  assert.equal((await client.hasCollection({ collection_name: 'no_such_book' })).value, false);
  // On stock, the SDK's missing collection is id 0, and that is every collection.
  if (datacoord) {
    const refused = await client.compact({ collection_name: 'no_such_book' }).catch(error => ({ status: error }));
    assert.notEqual(refused.status.error_code, 'Success');
  }
  const state = await client.getCompactionState({ compactionID: 123456789 });
  if (datacoord) assert.notEqual(state.status.error_code, 'Success');
  else assert.equal(state.state, 'Completed');
});
