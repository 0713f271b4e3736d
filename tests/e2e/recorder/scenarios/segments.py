"""Flush, segments, compaction, statistics."""

from calls import BOOK, FLAT, MANUAL, books, schema
from scenarios import scenario


@scenario
def flush(run):
    name = "seg_flush"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1, properties=MANUAL)
    run.Flush()
    run.Flush(collection_names=[name])
    run.Flush(collection_names=[name, "not_there"])
    run.Flush(collection_names=["not_there", name])
    run.Flush(collection_names=[name, name])
    run.Flush(db_name="not_there", collection_names=[name])
    run.GetPersistentSegmentInfo(_note="no rows", collectionName=name)
    run.GetQuerySegmentInfo(_note="not loaded", collectionName=name)
    run.Insert(collection_name=name, **books(range(1, 4)))
    run.GetPersistentSegmentInfo(_note="not flushed", collectionName=name)
    run.GetCollectionStatistics(_note="not flushed", collection_name=name)
    run.GetPartitionStatistics(_note="not flushed", collection_name=name, partition_name="_default")
    run.Flush(_note="rows", collection_names=[name])
    run.flushed(name)
    run.GetPersistentSegmentInfo(_note="flushed", collectionName=name)
    run.GetCollectionStatistics(_note="flushed", collection_name=name)
    run.GetPartitionStatistics(_note="flushed", collection_name=name, partition_name="_default")
    run.Delete(collection_name=name, expr="id in [1]")
    run.GetCollectionStatistics(_note="deleted", collection_name=name)
    run.GetFlushState()
    run.GetFlushState(segmentIDs=[1])
    run.GetFlushState(segmentIDs=[-1])
    run.GetFlushState(collection_name=name, segmentIDs=[1])
    run.GetFlushState(collection_name=name, flush_ts=1)
    run.GetFlushState(collection_name="not_there", segmentIDs=[1])
    run.GetFlushState(db_name="not_there", collection_name=name, segmentIDs=[1])
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadCollection(collection_name=name, replica_number=1)
    run.loaded(name)
    run.GetQuerySegmentInfo(_note="loaded", collectionName=name)


@scenario
def flush_all(run):
    run.CreateDatabase(db_name="seg_db")
    for database in ("default", "seg_db"):
        run.CreateCollection(db_name=database, collection_name="seg_all", schema=schema("seg_all", *BOOK), shards_num=1)
        run.Insert(db_name=database, collection_name="seg_all", **books([1, 2]))
    until = run.FlushAll().flush_all_ts
    run.wait("all is flushed", lambda: run.quiet.GetFlushAllState(flush_all_ts=until).flushed)
    run.GetFlushAllState(flush_all_ts=until)
    for database in ("default", "seg_db"):
        run.GetPersistentSegmentInfo(dbName=database, collectionName="seg_all")
    run.FlushAll(db_name="default")
    run.FlushAll(db_name="not_there")
    run.inside("not_there").FlushAll()
    run.GetFlushAllState()
    run.GetFlushAllState(flush_all_ts=1)
    run.GetFlushAllState(db_name="not_there", flush_all_ts=1)


@scenario
def compaction(run):
    name = "seg_compact"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1, properties=MANUAL)
    run.GetCompactionState(compactionID=7)
    run.GetCompactionState(compactionID=-1)
    run.GetCompactionStateWithPlans(compactionID=7)
    run.ManualCompaction(_note="no such collection", collectionID=7)
    answer = run.ManualCompaction(_note="no segments", collectionID=run.id_of(name))
    run.wait("compaction is done", lambda: run.quiet.GetCompactionState(
        compactionID=answer.compactionID).executingPlanNo == 0)
    run.GetCompactionState(_note="no segments", compactionID=answer.compactionID)
    run.GetCompactionStateWithPlans(_note="no segments", compactionID=answer.compactionID)
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    for part in range(3):
        run.Insert(collection_name=name, **books(range(part * 10, part * 10 + 5)))
        run.flushed(name)
    run.wait("indexed", lambda: run.quiet.GetIndexBuildProgress(collection_name=name).indexed_rows == 15)
    answer = run.ManualCompaction(_note="three segments", collectionID=run.id_of(name))
    run.wait("compaction is done", lambda: run.quiet.GetCompactionState(
        compactionID=answer.compactionID).completedPlanNo == 1)
    run.GetCompactionState(_note="three segments", compactionID=answer.compactionID)
    run.GetCompactionStateWithPlans(_note="three segments", compactionID=answer.compactionID)
    run.wait("one segment", lambda: len(run.quiet.GetPersistentSegmentInfo(collectionName=name).infos) == 1)
    run.GetPersistentSegmentInfo(_note="compacted", collectionName=name)
    run.GetCollectionStatistics(collection_name=name)
