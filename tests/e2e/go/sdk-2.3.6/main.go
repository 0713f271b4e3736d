// Compaction through milvus-sdk-go 2.3, as in its documentation. Wants E2E_GRPC.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"datacoord.test/e2e/check"
	"github.com/milvus-io/milvus-sdk-go/v2/client"
	"github.com/milvus-io/milvus-sdk-go/v2/entity"
)

const book = "go_book"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	c, err := client.NewClient(ctx, client.Config{Address: os.Getenv("E2E_GRPC")})
	check.OK(err)
	version, err := c.GetVersion(ctx)
	check.OK(err)
	datacoord := strings.Contains(version, "datacoord")
	if has, err := c.HasCollection(ctx, book); err == nil && has {
		check.OK(c.DropCollection(ctx, book))
	}

	compaction(ctx, c)
	errors(ctx, c, datacoord)
	check.OK(c.DropCollection(ctx, book))
	check.OK(c.Close())
	fmt.Println("ok")
}

// Compaction keeps every row that was not deleted.
func compaction(ctx context.Context, c client.Client) {
	schema := entity.NewSchema().WithName(book).WithDescription("Test book search").
		WithField(entity.NewField().WithName("book_id").WithDataType(entity.FieldTypeInt64).WithIsPrimaryKey(true)).
		WithField(entity.NewField().WithName("word_count").WithDataType(entity.FieldTypeInt64)).
		WithField(entity.NewField().WithName("book_intro").WithDataType(entity.FieldTypeFloatVector).WithDim(check.Dim))
	check.OK(c.CreateCollection(ctx, schema, 1, client.WithConsistencyLevel(entity.ClStrong)))
	for _, batch := range check.Batches {
		keys := check.Keys(batch[0], batch[1])
		ids, err := c.Insert(ctx, book, "", entity.NewColumnInt64("book_id", keys),
			entity.NewColumnInt64("word_count", check.WordCounts(keys)), entity.NewColumnFloatVector("book_intro", check.Dim, check.Vectors(keys)))
		check.OK(err)
		check.Equal("inserted", ids.Len(), len(keys))
		check.OK(c.Flush(ctx, book, false))
	}
	stats, err := c.GetCollectionStatistics(ctx, book)
	check.OK(err)
	check.Equal("row_count", stats["row_count"], check.Rows)

	gone, kept := check.Split(check.Keys(0, check.Rows))
	check.OK(c.DeleteByPks(ctx, book, "", entity.NewColumnInt64("book_id", gone)))
	check.OK(c.Flush(ctx, book, false))
	index, err := entity.NewIndexIvfFlat(entity.L2, 16)
	check.OK(err)
	check.OK(c.CreateIndex(ctx, book, "book_intro", index, false))
	check.OK(c.LoadCollection(ctx, book, false))
	check.Equal("count before", count(ctx, c), int64(len(kept)))
	before := segments(ctx, c)
	check.Equal("segments before", len(before), 3)

	id, err := c.ManualCompaction(ctx, book, 0)
	check.OK(err)
	check.That(id > 0, "compaction id %d", id)
	check.WaitUntil("compaction is completed", func() bool {
		state, err := c.GetCompactionState(ctx, id)
		check.OK(err)
		check.That(state == entity.CompactionStateExecuting || state == entity.CompactionStateCompleted, "state %d", state)
		return state == entity.CompactionStateCompleted
	})
	state, plans, err := c.GetCompactionStateWithPlans(ctx, id)
	check.OK(err)
	check.Equal("state", state, entity.CompactionStateCompleted)
	check.Equal("plans", len(plans), 1)
	slices.Sort(plans[0].Source)
	check.Equal("sources", plans[0].Source, before)
	check.Equal("segments after", segments(ctx, c), []int64{plans[0].Target})

	check.Equal("count after", count(ctx, c), int64(len(kept)))
	rows, err := c.Query(ctx, book, nil, "book_id >= 0", []string{"book_id", "word_count"},
		client.WithSearchQueryConsistencyLevel(entity.ClStrong))
	check.OK(err)
	keys := slices.Clone(rows.GetColumn("book_id").(*entity.ColumnInt64).Data())
	slices.Sort(keys)
	check.Equal("surviving keys", keys, kept)
	search(ctx, c, kept[700])
}

// A search finds a row by its own vector, and no row that was deleted.
func search(ctx context.Context, c client.Client, key int64) {
	nearest, err := entity.NewIndexIvfFlatSearchParam(16)
	check.OK(err)
	vector := entity.FloatVector(check.Vectors([]int64{key})[0])
	found, err := c.Search(ctx, book, nil, "word_count >= 0", []string{"word_count"}, []entity.Vector{vector, vector},
		"book_intro", entity.L2, 3, nearest, client.WithSearchQueryConsistencyLevel(entity.ClStrong))
	check.OK(err)
	check.Equal("answers", len(found), 2)
	for _, one := range found {
		check.Equal("rows", one.ResultCount, 3)
		ids := one.IDs.(*entity.ColumnInt64).Data()
		check.Equal("nearest", ids[0], key)
		check.Equal("distance", one.Scores[0], 0)
		check.That(one.Scores[1] > 0 && one.Scores[1] <= one.Scores[2], "distances %v", one.Scores)
		check.Equal("word_count", one.Fields.GetColumn("word_count").(*entity.ColumnInt64).Data(), check.WordCounts(ids))
		gone, _ := check.Split(ids)
		check.Equal("deleted rows", len(gone), 0)
	}
}

func errors(ctx context.Context, c client.Client, datacoord bool) {
	_, err := c.ManualCompaction(ctx, "no_such_book", 0)
	check.That(err != nil, "a missing collection was compacted")
	state, err := c.GetCompactionState(ctx, 123456789)
	if datacoord {
		check.That(err != nil, "an unknown compaction has state %d", state)
	} else {
		check.Equal("state of an unknown compaction", state, entity.CompactionStateCompleted)
	}
}

func count(ctx context.Context, c client.Client) int64 {
	rows, err := c.Query(ctx, book, nil, "", []string{"count(*)"},
		client.WithSearchQueryConsistencyLevel(entity.ClStrong))
	check.OK(err)
	return rows.GetColumn("count(*)").(*entity.ColumnInt64).Data()[0]
}

func segments(ctx context.Context, c client.Client) []int64 {
	infos, err := c.GetPersistentSegmentInfo(ctx, book)
	check.OK(err)
	var ids []int64
	for _, info := range infos {
		ids = append(ids, info.ID)
	}
	slices.Sort(ids)
	return ids
}
