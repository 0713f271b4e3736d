// Compaction through milvus-sdk-java 2.6 (MilvusClientV2), as in its documentation. Wants E2E_GRPC.
//
// This client compacts by name and has no call for plans: sources and target are told by the segments.

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import io.milvus.v2.client.ConnectConfig;
import io.milvus.v2.client.MilvusClientV2;
import io.milvus.v2.common.CompactionState;
import io.milvus.v2.common.ConsistencyLevel;
import io.milvus.v2.common.DataType;
import io.milvus.v2.common.IndexBuildState;
import io.milvus.v2.common.IndexParam;
import io.milvus.v2.service.collection.request.AddFieldReq;
import io.milvus.v2.service.collection.request.CreateCollectionReq;
import io.milvus.v2.service.collection.request.DescribeCollectionReq;
import io.milvus.v2.service.collection.request.DropCollectionReq;
import io.milvus.v2.service.collection.request.GetCollectionStatsReq;
import io.milvus.v2.service.collection.request.LoadCollectionReq;
import io.milvus.v2.service.collection.response.DescribeCollectionResp;
import io.milvus.v2.service.index.request.CreateIndexReq;
import io.milvus.v2.service.index.request.DescribeIndexReq;
import io.milvus.v2.service.index.response.DescribeIndexResp.IndexDesc;
import io.milvus.v2.service.resourcegroup.request.DescribeResourceGroupReq;
import io.milvus.v2.service.resourcegroup.request.ListResourceGroupsReq;
import io.milvus.v2.service.resourcegroup.response.DescribeResourceGroupResp;
import io.milvus.v2.service.utility.request.CompactReq;
import io.milvus.v2.service.utility.request.FlushReq;
import io.milvus.v2.service.utility.request.GetCompactionStateReq;
import io.milvus.v2.service.utility.request.GetPersistentSegmentInfoReq;
import io.milvus.v2.service.utility.response.GetCompactionStateResp;
import io.milvus.v2.service.utility.response.GetPersistentSegmentInfoResp.PersistentSegmentInfo;
import io.milvus.v2.service.vector.request.DeleteReq;
import io.milvus.v2.service.vector.request.InsertReq;
import io.milvus.v2.service.vector.request.QueryReq;
import io.milvus.v2.service.vector.request.SearchReq;
import io.milvus.v2.service.vector.request.data.BaseVector;
import io.milvus.v2.service.vector.request.data.FloatVec;
import io.milvus.v2.service.vector.response.QueryResp.QueryResult;
import io.milvus.v2.service.vector.response.SearchResp.SearchResult;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

public final class CompactionTest {
    private final MilvusClientV2 client = new MilvusClientV2(
            ConnectConfig.builder().uri("http://" + System.getenv("E2E_GRPC")).build());
    private final boolean datacoord = client.getServerVersion().contains("datacoord");
    private final Gson gson = new Gson();

    public static void main(String[] arguments) {
        Checks.run(() -> {
            CompactionTest test = new CompactionTest();
            test.drop();
            test.compaction();
            test.errors();
            test.drop();
            test.client.close();
        });
    }

    private void drop() {
        client.dropCollection(DropCollectionReq.builder().collectionName(Checks.BOOK).build());
    }

    /** Compaction keeps every row that was not deleted. */
    private void compaction() {
        createBook();
        for (long[] batch : Checks.BATCHES) {
            insert(Checks.keys(batch[0], batch[1]));
            flush();
        }
        Checks.equal("row_count", client.getCollectionStats(
                GetCollectionStatsReq.builder().collectionName(Checks.BOOK).build()).getNumOfEntities(), Checks.ROWS);

        List<Object> gone = new ArrayList<>(Checks.gone());
        Checks.equal("deleted", client.delete(DeleteReq.builder().collectionName(Checks.BOOK).ids(gone).build())
                .getDeleteCnt(), (long) gone.size());
        flush();
        IndexParam index = IndexParam.builder().fieldName("book_intro").indexType(IndexParam.IndexType.IVF_FLAT)
                .metricType(IndexParam.MetricType.L2).extraParams(Map.of("nlist", 16)).build();
        client.createIndex(CreateIndexReq.builder().collectionName(Checks.BOOK)
                .indexParams(Collections.singletonList(index)).build());
        client.loadCollection(LoadCollectionReq.builder().collectionName(Checks.BOOK).build());
        Checks.equal("count before", count(), (long) Checks.kept().size());
        List<Long> before = segments();
        Checks.equal("segments before", before.size(), Checks.BATCHES.length);

        Long id = client.compact(CompactReq.builder().collectionName(Checks.BOOK).build()).getCompactionID();
        Checks.check(id > 0, "compaction id " + id);
        Checks.waitUntil("compaction is completed", () -> state(id).getState() == CompactionState.Completed);
        Checks.check(state(id).getCompletedPlanNo() >= 1, "completed plans " + state(id).getCompletedPlanNo());
        List<Long> after = segments();
        Checks.equal("segments after", after.size(), 1);
        Checks.check(Collections.disjoint(before, after), "a segment was not compacted");

        Checks.equal("count after", count(), (long) Checks.kept().size());
        List<Object> keys = query("book_id >= 0", "book_id").stream()
                .map(row -> row.getEntity().get("book_id")).sorted().collect(Collectors.toList());
        Checks.equal("surviving keys", keys, Checks.kept());
        search(Checks.kept().get(700));
        if (datacoord) {
            descriptions(after.get(0));
        }
    }

    /** What the server says about a loaded collection of one segment. */
    private void descriptions(Long segment) {
        DescribeCollectionResp described = client.describeCollection(
                DescribeCollectionReq.builder().collectionName(Checks.BOOK).build());
        Checks.equal("database", described.getDatabaseName(), "default");
        Checks.equal("shards", described.getShardsNum(), 1);
        Checks.equal("partitions", described.getNumOfPartitions(), 1L);
        Checks.equal("time", described.getCreateUtcTime(), described.getCreateTime() >> 18);
        Checks.waitUntil("the index is finished", () -> {
            IndexDesc index = client.describeIndex(DescribeIndexReq.builder().collectionName(Checks.BOOK)
                    .fieldName("book_intro").build()).getIndexDescriptions().get(0);
            return index.getIndexState() == IndexBuildState.Finished && index.getPendingIndexRows() == 0;
        });
        PersistentSegmentInfo info = client.getPersistentSegmentInfo(GetPersistentSegmentInfoReq.builder()
                .collectionName(Checks.BOOK).build()).getSegmentInfos().get(0);
        Checks.equal("segment", info.getSegmentID(), segment);
        Checks.equal("level", info.getLevel(), "L1");
        Checks.equal("sorted", info.getIsSorted(), true);
        String group = "__default_resource_group";
        Checks.equal("groups", client.listResourceGroups(ListResourceGroupsReq.builder().build()).getGroupNames(),
                List.of(group));
        DescribeResourceGroupResp loadedGroup = client.describeResourceGroup(
                DescribeResourceGroupReq.builder().groupName(group).build());
        Checks.equal("capacity", loadedGroup.getCapacity(), 1_000_000);
        Checks.equal("nodes", loadedGroup.getNumberOfAvailableNode(), 1);
        Checks.equal("replicas", loadedGroup.getNumberOfLoadedReplica(), Map.of(Checks.BOOK, 1));
    }

    /** A search finds a row by its own vector, and no row that was deleted. */
    private void search(Long key) {
        BaseVector vector = new FloatVec(Checks.vector(key));
        List<List<SearchResult>> found = client.search(SearchReq.builder().collectionName(Checks.BOOK)
                .annsField("book_intro").data(List.of(vector, vector)).topK(3).filter("book_id >= 0")
                .outputFields(List.of("title")).consistencyLevel(ConsistencyLevel.STRONG).build()).getSearchResults();
        Checks.equal("answers", found.size(), 2);
        for (List<SearchResult> rows : found) {
            Checks.equal("rows", rows.size(), 3);
            Checks.equal("nearest", rows.get(0).getId(), key);
            Checks.equal("distance", rows.get(0).getScore(), 0f);
            Checks.check(rows.get(1).getScore() > 0 && rows.get(1).getScore() <= rows.get(2).getScore(), "order");
            Checks.equal("title", rows.get(0).getEntity().get("title"), "title " + key);
            for (SearchResult row : rows) {
                Checks.check(Checks.kept().contains((Long) row.getId()), "a deleted row: " + row.getId());
            }
        }
    }

    private void createBook() {
        CreateCollectionReq.CollectionSchema schema = MilvusClientV2.CreateSchema();
        schema.addField(AddFieldReq.builder().fieldName("book_id").dataType(DataType.Int64).isPrimaryKey(true).build());
        schema.addField(AddFieldReq.builder().fieldName("title").dataType(DataType.VarChar).maxLength(64).build());
        schema.addField(AddFieldReq.builder().fieldName("book_intro").dataType(DataType.FloatVector)
                .dimension(Checks.DIM).build());
        client.createCollection(CreateCollectionReq.builder().collectionName(Checks.BOOK).collectionSchema(schema)
                .consistencyLevel(ConsistencyLevel.STRONG)
                .property("collection.autocompaction.enabled", "false").build());
    }

    private void insert(List<Long> keys) {
        List<JsonObject> rows = new ArrayList<>();
        for (Long key : keys) {
            JsonObject row = new JsonObject();
            row.addProperty("book_id", key);
            row.addProperty("title", "title " + key);
            row.add("book_intro", gson.toJsonTree(Checks.vector(key)));
            rows.add(row);
        }
        Checks.equal("inserted", client.insert(InsertReq.builder().collectionName(Checks.BOOK).data(rows).build())
                .getInsertCnt(), (long) keys.size());
    }

    private void flush() {
        client.flush(FlushReq.builder().collectionNames(List.of(Checks.BOOK)).build());
    }

    private GetCompactionStateResp state(Long id) {
        GetCompactionStateResp answer = client.getCompactionState(
                GetCompactionStateReq.builder().compactionID(id).build());
        Checks.check(answer.getState() != CompactionState.UndefiedState, "state " + answer.getState());
        return answer;
    }

    private List<Long> segments() {
        return client.getPersistentSegmentInfo(GetPersistentSegmentInfoReq.builder()
                .collectionName(Checks.BOOK).build()).getSegmentInfos().stream()
                .map(PersistentSegmentInfo::getSegmentID).sorted().collect(Collectors.toList());
    }

    private List<QueryResult> query(String filter, String field) {
        return client.query(QueryReq.builder().collectionName(Checks.BOOK).filter(filter)
                .outputFields(List.of(field)).consistencyLevel(ConsistencyLevel.STRONG).build()).getQueryResults();
    }

    private Object count() {
        return query("", "count(*)").get(0).getEntity().get("count(*)");
    }

    private void errors() {
        if (datacoord) {
            refused("a missing collection was compacted",
                    () -> client.compact(CompactReq.builder().collectionName("no_such_book").build()));
            refused("an unknown compaction has a state", () -> state(123456789L));
        } else {
            Checks.equal("state of an unknown compaction", state(123456789L).getState(), CompactionState.Completed);
        }
    }

    private static void refused(String otherwise, Runnable call) {
        try {
            call.run();
        } catch (io.milvus.v2.exception.MilvusClientException why) {
            return;
        }
        throw new AssertionError(otherwise);
    }
}
