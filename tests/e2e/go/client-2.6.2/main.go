// Compaction through the Go client of today's Milvus (client/v2), as in its documentation. Wants E2E_GRPC. With E2E_TOKEN
// it logs in, and looks at users and privileges only.
//
// This client compacts by name and has no call for plans: sources and target are told by the segments.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"datacoord.test/e2e/check"
	"github.com/milvus-io/milvus/client/v2/column"
	"github.com/milvus-io/milvus/client/v2/entity"
	"github.com/milvus-io/milvus/client/v2/index"
	"github.com/milvus-io/milvus/client/v2/milvusclient"
)

const book = "go_book"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	if os.Getenv("E2E_TOKEN") != "" {
		users(ctx, os.Getenv("E2E_GRPC"))
		fmt.Println("ok")
		return
	}
	c, err := milvusclient.New(ctx, &milvusclient.ClientConfig{Address: os.Getenv("E2E_GRPC")})
	check.OK(err)
	version, err := c.GetServerVersion(ctx, milvusclient.NewGetServerVersionOption())
	check.OK(err)
	datacoord := strings.Contains(version, "datacoord")
	check.OK(c.DropCollection(ctx, milvusclient.NewDropCollectionOption(book)))

	compaction(ctx, c)
	if datacoord {
		descriptions(ctx, c)
	}
	errors(ctx, c, datacoord)
	check.OK(c.DropCollection(ctx, milvusclient.NewDropCollectionOption(book)))
	check.OK(c.Close(ctx))
	fmt.Println("ok")
}

// Compaction keeps every row that was not deleted.
func compaction(ctx context.Context, c *milvusclient.Client) {
	schema := entity.NewSchema().WithName(book).WithDescription("Test book search").
		WithField(entity.NewField().WithName("book_id").WithDataType(entity.FieldTypeInt64).WithIsPrimaryKey(true)).
		WithField(entity.NewField().WithName("word_count").WithDataType(entity.FieldTypeInt64)).
		WithField(entity.NewField().WithName("book_intro").WithDataType(entity.FieldTypeFloatVector).WithDim(check.Dim))
	check.OK(c.CreateCollection(ctx, milvusclient.NewCreateCollectionOption(book, schema).
		WithConsistencyLevel(entity.ClStrong).WithProperty("collection.autocompaction.enabled", false)))
	for _, batch := range check.Batches {
		keys := check.Keys(batch[0], batch[1])
		result, err := c.Insert(ctx, milvusclient.NewColumnBasedInsertOption(book).
			WithInt64Column("book_id", keys).WithInt64Column("word_count", check.WordCounts(keys)).
			WithFloatVectorColumn("book_intro", check.Dim, check.Vectors(keys)))
		check.OK(err)
		check.Equal("inserted", result.InsertCount, len(keys))
		flush(ctx, c)
	}
	stats, err := c.GetCollectionStats(ctx, milvusclient.NewGetCollectionStatsOption(book))
	check.OK(err)
	check.Equal("row_count", stats["row_count"], check.Rows)

	gone, kept := check.Split(check.Keys(0, check.Rows))
	deleted, err := c.Delete(ctx, milvusclient.NewDeleteOption(book).WithInt64IDs("book_id", gone))
	check.OK(err)
	check.Equal("deleted", deleted.DeleteCount, len(gone))
	flush(ctx, c)
	built, err := c.CreateIndex(ctx, milvusclient.NewCreateIndexOption(book, "book_intro", index.NewIvfFlatIndex(entity.L2, 16)))
	check.OK(err)
	check.OK(built.Await(ctx))
	loaded, err := c.LoadCollection(ctx, milvusclient.NewLoadCollectionOption(book))
	check.OK(err)
	check.OK(loaded.Await(ctx))
	check.Equal("count before", count(ctx, c), len(kept))
	before := segments(ctx, c)
	check.Equal("segments before", len(before), len(check.Batches))

	id, err := c.Compact(ctx, milvusclient.NewCompactOption(book))
	check.OK(err)
	check.That(id > 0, "compaction id %d", id)
	check.WaitUntil("compaction is completed", func() bool {
		state, err := c.GetCompactionState(ctx, milvusclient.NewGetCompactionStateOption(id))
		check.OK(err)
		check.That(state == entity.CompactionStateRunning || state == entity.CompactionStateCompleted, "state %v", state)
		return state == entity.CompactionStateCompleted
	})
	after := segments(ctx, c)
	check.Equal("segments after", len(after), 1)
	check.That(!slices.Contains(before, after[0]), "segment %d was not compacted", after[0])

	check.Equal("count after", count(ctx, c), len(kept))
	rows, err := c.Query(ctx, milvusclient.NewQueryOption(book).WithFilter("book_id >= 0").
		WithOutputFields("book_id", "word_count").WithConsistencyLevel(entity.ClStrong))
	check.OK(err)
	keys := slices.Clone(rows.GetColumn("book_id").(*column.ColumnInt64).Data())
	slices.Sort(keys)
	check.Equal("surviving keys", keys, kept)
	search(ctx, c, kept[700])
}

// What the server says about a loaded collection of one segment.
func descriptions(ctx context.Context, c *milvusclient.Client) {
	collection, err := c.DescribeCollection(ctx, milvusclient.NewDescribeCollectionOption(book))
	check.OK(err)
	check.Equal("shards", collection.ShardNum, 1)
	check.That(collection.UpdateTimestamp > 0, "no update timestamp")
	check.WaitUntil("the index is finished", func() bool {
		description, err := c.DescribeIndex(ctx, milvusclient.NewDescribeIndexOption(book, "book_intro"))
		check.OK(err)
		check.Equal("rows", description.IndexedRows+description.PendingIndexRows, description.TotalRows)
		return description.State == index.IndexState(3) && description.PendingIndexRows == 0
	})
	const group = "__default_resource_group"
	groups, err := c.ListResourceGroups(ctx, milvusclient.NewListResourceGroupsOption())
	check.OK(err)
	check.Equal("resource groups", groups, []string{group})
	described, err := c.DescribeResourceGroup(ctx, milvusclient.NewDescribeResourceGroupOption(group))
	check.OK(err)
	check.Equal("capacity", described.Capacity, 1000000)
	check.Equal("nodes", described.NumAvailableNode, 1)
	check.Equal("replicas", described.NumLoadedReplica[book], 1)
}

// A search finds a row by its own vector, and no row that was deleted.
func search(ctx context.Context, c *milvusclient.Client, key int64) {
	vector := entity.FloatVector(check.Vectors([]int64{key})[0])
	found, err := c.Search(ctx, milvusclient.NewSearchOption(book, 3, []entity.Vector{vector, vector}).
		WithANNSField("book_intro").WithFilter("word_count >= 0").WithOutputFields("word_count").
		WithConsistencyLevel(entity.ClStrong))
	check.OK(err)
	check.Equal("answers", len(found), 2)
	for _, one := range found {
		check.Equal("rows", one.ResultCount, 3)
		ids := one.IDs.(*column.ColumnInt64).Data()
		check.Equal("nearest", ids[0], key)
		check.Equal("distance", one.Scores[0], 0)
		check.That(one.Scores[1] > 0 && one.Scores[1] <= one.Scores[2], "distances %v", one.Scores)
		check.Equal("word_count", one.GetColumn("word_count").(*column.ColumnInt64).Data(), check.WordCounts(ids))
		gone, _ := check.Split(ids)
		check.Equal("deleted rows", len(gone), 0)
	}
}

func errors(ctx context.Context, c *milvusclient.Client, datacoord bool) {
	if datacoord {
		_, err := c.Compact(ctx, milvusclient.NewCompactOption("no_such_book"))
		check.That(err != nil, "a missing collection was compacted")
	}
	state, err := c.GetCompactionState(ctx, milvusclient.NewGetCompactionStateOption(123456789))
	if datacoord {
		check.That(err != nil, "an unknown compaction has state %v", state)
	} else {
		check.Equal("state of an unknown compaction", state, entity.CompactionStateCompleted)
	}
}

func flush(ctx context.Context, c *milvusclient.Client) {
	task, err := c.Flush(ctx, milvusclient.NewFlushOption(book))
	check.OK(err)
	check.OK(task.Await(ctx))
}

func count(ctx context.Context, c *milvusclient.Client) int64 {
	rows, err := c.Query(ctx, milvusclient.NewQueryOption(book).WithFilter("").WithOutputFields("count(*)").
		WithConsistencyLevel(entity.ClStrong))
	check.OK(err)
	return rows.GetColumn("count(*)").(*column.ColumnInt64).Data()[0]
}

func segments(ctx context.Context, c *milvusclient.Client) []int64 {
	infos, err := c.GetPersistentSegmentInfo(ctx, milvusclient.NewGetPersistentSegmentInfoOption(book))
	check.OK(err)
	var ids []int64
	for _, info := range infos {
		ids = append(ids, info.ID)
	}
	slices.Sort(ids)
	return ids
}
