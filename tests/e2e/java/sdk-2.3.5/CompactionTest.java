// Compaction through milvus-sdk-java 2.3 (MilvusServiceClient), as in its documentation. Wants E2E_GRPC.

import io.milvus.client.MilvusServiceClient;
import io.milvus.common.clientenum.ConsistencyLevelEnum;
import io.milvus.grpc.CompactionMergeInfo;
import io.milvus.grpc.CompactionState;
import io.milvus.grpc.DataType;
import io.milvus.grpc.GetCompactionPlansResponse;
import io.milvus.grpc.GetCompactionStateResponse;
import io.milvus.grpc.PersistentSegmentInfo;
import io.milvus.param.ConnectParam;
import io.milvus.param.IndexType;
import io.milvus.param.MetricType;
import io.milvus.param.R;
import io.milvus.param.collection.CreateCollectionParam;
import io.milvus.param.collection.DropCollectionParam;
import io.milvus.param.collection.FieldType;
import io.milvus.param.collection.FlushParam;
import io.milvus.param.collection.GetCollectionStatisticsParam;
import io.milvus.param.collection.LoadCollectionParam;
import io.milvus.param.control.GetCompactionPlansParam;
import io.milvus.param.control.GetCompactionStateParam;
import io.milvus.param.control.GetPersistentSegmentInfoParam;
import io.milvus.param.control.ManualCompactParam;
import io.milvus.param.dml.DeleteParam;
import io.milvus.param.dml.InsertParam;
import io.milvus.param.dml.QueryParam;
import io.milvus.param.dml.SearchParam;
import io.milvus.param.index.CreateIndexParam;
import io.milvus.response.GetCollStatResponseWrapper;
import io.milvus.response.QueryResultsWrapper;
import io.milvus.response.SearchResultsWrapper;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

public final class CompactionTest {
    private final MilvusServiceClient client;
    private final boolean datacoord;

    private CompactionTest() {
        String[] address = System.getenv("E2E_GRPC").split(":");
        client = new MilvusServiceClient(ConnectParam.newBuilder()
                .withHost(address[0]).withPort(Integer.parseInt(address[1])).build());
        datacoord = ok(client.getVersion()).getVersion().contains("datacoord");
    }

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

    private static <T> T ok(R<T> answer) {
        if (answer.getStatus() != R.Status.Success.getCode()) {
            throw new AssertionError("status " + answer.getStatus(), answer.getException());
        }
        return answer.getData();
    }

    private void drop() {
        ok(client.dropCollection(DropCollectionParam.newBuilder().withCollectionName(Checks.BOOK).build()));
    }

    /** Compaction keeps every row that was not deleted. */
    private void compaction() {
        createBook();
        for (long[] batch : Checks.BATCHES) {
            insert(Checks.keys(batch[0], batch[1]));
            flush();
        }
        GetCollStatResponseWrapper stats = new GetCollStatResponseWrapper(ok(client.getCollectionStatistics(
                GetCollectionStatisticsParam.newBuilder().withCollectionName(Checks.BOOK).build())));
        Checks.equal("row_count", stats.getRowCount(), Checks.ROWS);

        List<Long> gone = Checks.gone();
        Checks.equal("deleted", ok(client.delete(DeleteParam.newBuilder().withCollectionName(Checks.BOOK)
                .withExpr("book_id in " + gone).build())).getDeleteCnt(), (long) gone.size());
        flush();
        ok(client.createIndex(CreateIndexParam.newBuilder().withCollectionName(Checks.BOOK).withFieldName("book_intro")
                .withIndexType(IndexType.IVF_FLAT).withMetricType(MetricType.L2).withExtraParam("{\"nlist\":16}")
                .withSyncMode(Boolean.TRUE).build()));
        ok(client.loadCollection(LoadCollectionParam.newBuilder().withCollectionName(Checks.BOOK).build()));
        Checks.equal("count before", count(), (long) Checks.kept().size());
        List<Long> before = segments();
        Checks.equal("segments before", before.size(), Checks.BATCHES.length);

        long id = ok(client.manualCompact(ManualCompactParam.newBuilder().withCollectionName(Checks.BOOK).build()))
                .getCompactionID();
        Checks.check(id > 0, "compaction id " + id);
        Checks.waitUntil("compaction is completed", () -> state(id).getState() == CompactionState.Completed);
        Checks.equal("completed plans", state(id).getCompletedPlanNo(), 1L);
        GetCompactionPlansResponse plans = ok(client.getCompactionStateWithPlans(
                GetCompactionPlansParam.newBuilder().withCompactionID(id).build()));
        Checks.equal("state", plans.getState(), CompactionState.Completed);
        Checks.equal("plans", plans.getMergeInfosCount(), 1);
        CompactionMergeInfo plan = plans.getMergeInfos(0);
        Checks.equal("sources", plan.getSourcesList().stream().sorted().collect(Collectors.toList()), before);
        Checks.equal("segments after", segments(), List.of(plan.getTarget()));

        Checks.equal("count after", count(), (long) Checks.kept().size());
        List<?> keys = query("book_id >= 0", "book_id").getFieldWrapper("book_id").getFieldData();
        Checks.equal("surviving keys", keys.stream().sorted().collect(Collectors.toList()), Checks.kept());
        search(Checks.kept().get(700));
    }

    /** A search finds a row by its own vector, and no row that was deleted. */
    private void search(Long key) {
        SearchResultsWrapper found = new SearchResultsWrapper(ok(client.search(SearchParam.newBuilder()
                .withCollectionName(Checks.BOOK).withVectorFieldName("book_intro").withMetricType(MetricType.L2)
                .withTopK(3).withVectors(List.of(Checks.vector(key), Checks.vector(key))).withExpr("book_id >= 0")
                .addOutField("title").withParams("{\"nprobe\": 16}").withConsistencyLevel(ConsistencyLevelEnum.STRONG)
                .build())).getResults());
        for (int query = 0; query < 2; query++) {
            List<SearchResultsWrapper.IDScore> rows = found.getIDScore(query);
            Checks.equal("rows", rows.size(), 3);
            Checks.equal("nearest", rows.get(0).getLongID(), key);
            Checks.equal("distance", rows.get(0).getScore(), 0f);
            Checks.check(rows.get(1).getScore() > 0 && rows.get(1).getScore() <= rows.get(2).getScore(), "order");
            Checks.equal("title", found.getFieldData("title", query).get(0), "title " + key);
            for (SearchResultsWrapper.IDScore row : rows) {
                Checks.check(Checks.kept().contains(row.getLongID()), "a deleted row: " + row.getLongID());
            }
        }
    }

    private void createBook() {
        ok(client.createCollection(CreateCollectionParam.newBuilder()
                .withCollectionName(Checks.BOOK).withDescription("Test book search").withShardsNum(1)
                .withConsistencyLevel(ConsistencyLevelEnum.STRONG)
                .addFieldType(FieldType.newBuilder().withName("book_id").withDataType(DataType.Int64)
                        .withPrimaryKey(true).build())
                .addFieldType(FieldType.newBuilder().withName("title").withDataType(DataType.VarChar)
                        .withMaxLength(64).build())
                .addFieldType(FieldType.newBuilder().withName("book_intro").withDataType(DataType.FloatVector)
                        .withDimension(Checks.DIM).build())
                .build()));
    }

    private void insert(List<Long> keys) {
        List<InsertParam.Field> fields = new ArrayList<>();
        fields.add(new InsertParam.Field("book_id", keys));
        fields.add(new InsertParam.Field("title", keys.stream().map(key -> "title " + key)
                .collect(Collectors.toList())));
        fields.add(new InsertParam.Field("book_intro", keys.stream().map(Checks::vector)
                .collect(Collectors.toList())));
        Checks.equal("inserted", ok(client.insert(InsertParam.newBuilder().withCollectionName(Checks.BOOK)
                .withFields(fields).build())).getInsertCnt(), (long) keys.size());
    }

    private void flush() {
        ok(client.flush(FlushParam.newBuilder().addCollectionName(Checks.BOOK).withSyncFlush(Boolean.TRUE).build()));
    }

    private GetCompactionStateResponse state(long id) {
        GetCompactionStateResponse answer = ok(client.getCompactionState(
                GetCompactionStateParam.newBuilder().withCompactionID(id).build()));
        Checks.check(answer.getState() == CompactionState.Executing || answer.getState() == CompactionState.Completed,
                "state " + answer.getState());
        return answer;
    }

    private List<Long> segments() {
        return ok(client.getPersistentSegmentInfo(GetPersistentSegmentInfoParam.newBuilder()
                .withCollectionName(Checks.BOOK).build())).getInfosList().stream()
                .map(PersistentSegmentInfo::getSegmentID).sorted().collect(Collectors.toList());
    }

    private QueryResultsWrapper query(String filter, String field) {
        return new QueryResultsWrapper(ok(client.query(QueryParam.newBuilder().withCollectionName(Checks.BOOK)
                .withExpr(filter).addOutField(field).withConsistencyLevel(ConsistencyLevelEnum.STRONG).build())));
    }

    private Object count() {
        return query("", "count(*)").getFieldWrapper("count(*)").getFieldData().get(0);
    }

    private void errors() {
        Checks.check(client.manualCompact(ManualCompactParam.newBuilder().withCollectionName("no_such_book").build())
                .getStatus() != R.Status.Success.getCode(), "a missing collection was compacted");
        R<GetCompactionStateResponse> unknown = client.getCompactionState(
                GetCompactionStateParam.newBuilder().withCompactionID(123456789L).build());
        if (datacoord) {
            Checks.check(unknown.getStatus() != R.Status.Success.getCode(), "an unknown compaction has a state");
        } else {
            Checks.equal("state of an unknown compaction", ok(unknown).getState(), CompactionState.Completed);
        }
    }
}
