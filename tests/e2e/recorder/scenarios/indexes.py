"""Indexes: types, metrics and parameters per type of field; described and dropped."""

import json

from calls import BOOK, FLAT, KEY, TITLE, VECTOR, books, field, pairs, schema
from scenarios import BAD_NAMES, scenario

EVERYTHING = (
    KEY, VECTOR, TITLE, field("flag", "Bool"), field("tiny", "Int8"), field("ratio", "Float"), field("meta", "JSON"),
    field("words", "Array", element_type="VarChar", max_length=8, max_capacity=4),
)


def made(run, name, *fields):
    run.CreateCollection(collection_name=name, schema=schema(name, *fields), shards_num=1)


def params(kind=None, metric=None, flat=None, **inner):
    """Extra parameters as pymilvus sends them: the build parameters as JSON."""
    given = {"index_type": kind, "metric_type": metric, "params": json.dumps(inner) if inner else None, **(flat or {})}
    return pairs(**{key: value for key, value in given.items() if value is not None})


def each(run, name, field_name, variants):
    """Tries each; one that is accepted is described and dropped before the next."""
    for variant in variants:
        answer = run.CreateIndex(collection_name=name, field_name=field_name, extra_params=variant)
        if answer.code == 0:
            run.DescribeIndex(_note=f"{field_name}, {[f'{pair.key}={pair.value}' for pair in variant]}",
                              collection_name=name)
        run.quiet.DropIndex(collection_name=name, field_name=field_name, index_name="_default_idx_101")
        run.quiet.DropIndex(collection_name=name, field_name=field_name)


@scenario
def types_of_float_vectors(run):
    made(run, "ix_float", KEY, VECTOR)
    each(run, "ix_float", "vector", [
        params(), params(""), params(" "), params("UNKNOWN", "L2"), params("ANNOY", "L2", n_trees=8),
        params("flat", "L2"), params("FLAT", "L2"), params("FLAT"), params("FLAT", "l2"), params("FLAT", ""),
        params("FLAT", "IP"), params("FLAT", "COSINE"), params("FLAT", "HAMMING"), params("FLAT", "JACCARD"),
        params("FLAT", "UNKNOWN"), params(None, "L2"), params(None, "UNKNOWN"),
        params("AUTOINDEX"), params("AUTOINDEX", "L2"), params("AUTOINDEX", "IP"), params("AUTOINDEX", "HAMMING"),
        params("AUTOINDEX", "UNKNOWN"), params("AUTOINDEX", "L2", nlist=10), params("AUTOINDEX", None, {"nlist": 1}),
        params(None, "IP", None, nlist=10), params("BIN_FLAT", "HAMMING"), params("BIN_IVF_FLAT", "HAMMING", nlist=8),
        params("STL_SORT"), params("Trie"), params("GPU_IVF_FLAT", "L2", nlist=8),
    ])


@scenario
def parameters_of_float_vectors(run):
    made(run, "ix_params", KEY, VECTOR)
    each(run, "ix_params", "vector", [
        *(params("IVF_FLAT", "L2", nlist=nlist) for nlist in (1, 0, -1, 65536, 65537, "8", "a", 1.5)),
        params("IVF_FLAT", "L2"), params("IVF_SQ8", "L2", nlist=0), params("IVF_SQ8", "IP", nlist=8),
        params("IVF_PQ", "L2", nlist=8, m=2), params("IVF_PQ", "L2", nlist=8, m=3), params("IVF_PQ", "L2", nlist=8),
        params("IVF_PQ", "L2", nlist=8, m=0), params("IVF_PQ", "L2", nlist=8, m="a"),
        params("IVF_PQ", "L2", nlist=8, m=2, nbits=8), params("IVF_PQ", "L2", nlist=8, m=2, nbits=0),
        params("IVF_PQ", "L2", nlist=8, m=2, nbits=17),
        params("HNSW", "L2", M=8, efConstruction=8), params("HNSW", "COSINE", M=8, efConstruction=8),
        *(params("HNSW", "L2", M=m, efConstruction=8) for m in (0, 1, 2, 2048, 2049, -1, "a")),
        *(params("HNSW", "L2", M=8, efConstruction=ef) for ef in (0, -1, 2147483647, 2147483648, "a")),
        params("HNSW", "L2", M=8), params("HNSW", "L2", efConstruction=8), params("HNSW", "HAMMING", M=8, efConstruction=8),
        params("SCANN", "L2", nlist=8), params("SCANN", "L2", nlist=0), params("SCANN", "L2"),
        params("SCANN", "L2", nlist=8, with_raw_data="x"), params("DISKANN", "L2"), params("DISKANN", "HAMMING"),
        params("IVF_FLAT", "L2", {"nlist": 8}), params("IVF_FLAT", "L2", {"params": "x"}),
        params("IVF_FLAT", "L2", {"params": "[]"}), params("IVF_FLAT", "L2", {"params": ""}),
        params("FLAT", "L2", unknown=1), params("HNSW", "L2", M=8, efConstruction=8, unknown="x"),
    ])
    made(run, "ix_odd", KEY, field("vector", "FloatVector", dim=7))
    each(run, "ix_odd", "vector", [params("SCANN", "L2", nlist=8), params("IVF_PQ", "L2", nlist=8, m=7),
                                   params("IVF_PQ", "L2", nlist=8, m=2)])


@scenario
def binary_vectors(run):
    made(run, "ix_binary", KEY, field("vector", "BinaryVector", dim=16))
    each(run, "ix_binary", "vector", [
        *(params("BIN_FLAT", metric) for metric in ("HAMMING", "JACCARD", "SUBSTRUCTURE", "SUPERSTRUCTURE", "TANIMOTO",
                                                    "L2", "UNKNOWN", None)),
        *(params("BIN_IVF_FLAT", metric, nlist=8) for metric in ("HAMMING", "JACCARD", "SUBSTRUCTURE", "L2", None)),
        params("BIN_IVF_FLAT", "HAMMING", nlist=0), params("FLAT", "HAMMING"), params("FLAT", "L2"),
        params("HNSW", "HAMMING", M=8, efConstruction=8), params("AUTOINDEX"), params("AUTOINDEX", "HAMMING"), params(),
        params("SCANN", "L2", nlist=8), params("DISKANN", "L2"),
    ])


@scenario
def scalars(run):
    made(run, "ix_scalar", *EVERYTHING)
    for name in ("id", "title", "flag", "tiny", "ratio", "meta", "words"):
        each(run, "ix_scalar", name, [params(), params("STL_SORT"), params("Trie"), params("IVF_SQ8"), params("INVERTED"),
                                      params("AUTOINDEX"), params(""), params("Trie", "L2")])


@scenario
def names_and_states(run):
    made(run, "ix_names", *BOOK)
    run.DescribeIndex(_note="no index", collection_name="ix_names")
    run.DropIndex(_note="no index", collection_name="ix_names", field_name="vector", index_name="x")
    run.DropIndex(_note="no name", collection_name="ix_names", field_name="vector")
    run.DropIndex(_note="nothing", collection_name="ix_names")
    run.GetIndexState(_note="no index", collection_name="ix_names")
    run.GetIndexBuildProgress(_note="no index", collection_name="ix_names")
    run.GetIndexStatistics(_note="no index", collection_name="ix_names")
    for name in BAD_NAMES:
        run.CreateIndex(collection_name="ix_names", field_name="vector", index_name=name, extra_params=FLAT)
        run.quiet.DropIndex(collection_name="ix_names", field_name="vector", index_name="_default_idx_103")
        run.CreateIndex(collection_name="ix_names", field_name=name, index_name="x", extra_params=FLAT)
        run.DescribeIndex(collection_name="ix_names", index_name=name)
        run.DropIndex(collection_name="ix_names", field_name="vector", index_name=name)
    run.CreateIndex(collection_name="ix_names", field_name="not_there", index_name="x", extra_params=FLAT)
    run.CreateIndex(_note="named", collection_name="ix_names", field_name="vector", index_name="x", extra_params=FLAT)
    run.CreateIndex(_note="again", collection_name="ix_names", field_name="vector", index_name="x", extra_params=FLAT)
    run.CreateIndex(_note="other parameters", collection_name="ix_names", field_name="vector", index_name="x",
                    extra_params=params("HNSW", "L2", M=8, efConstruction=8))
    run.CreateIndex(_note="other name", collection_name="ix_names", field_name="vector", index_name="y", extra_params=FLAT)
    run.CreateIndex(_note="other name and parameters", collection_name="ix_names", field_name="vector", index_name="y",
                    extra_params=params("HNSW", "L2", M=8, efConstruction=8))
    run.CreateIndex(_note="name of another field's", collection_name="ix_names", field_name="title", index_name="x")
    run.CreateIndex(_note="without a name", collection_name="ix_names", field_name="title")
    run.DescribeIndex(_note="two", collection_name="ix_names")
    run.DescribeIndex(_note="by name", collection_name="ix_names", index_name="x")
    run.DescribeIndex(_note="by field", collection_name="ix_names", field_name="vector")
    run.DescribeIndex(_note="by another field", collection_name="ix_names", field_name="pages")
    run.DescribeIndex(_note="not there", collection_name="ix_names", index_name="z")
    for call in (run.GetIndexState, run.GetIndexBuildProgress, run.GetIndexStatistics):
        call(_note="all", collection_name="ix_names")
        call(_note="by name", collection_name="ix_names", index_name="x")
        call(_note="not there", collection_name="ix_names", index_name="z")
    run.DropIndex(_note="not there", collection_name="ix_names", field_name="vector", index_name="z")
    run.DropIndex(_note="no name", collection_name="ix_names", field_name="vector")
    run.DescribeIndex(_note="after no name", collection_name="ix_names")
    run.DropIndex(_note="by name", collection_name="ix_names", field_name="vector", index_name="x")
    run.DropIndex(_note="by name, again", collection_name="ix_names", field_name="vector", index_name="x")


@scenario
def built(run):
    """The state of an index over flushed rows: a small segment is not worth an index."""
    made(run, "ix_built", *BOOK)
    run.Insert(collection_name="ix_built", **books(range(1, 6)))
    run.flushed("ix_built")
    run.CreateIndex(collection_name="ix_built", field_name="vector", extra_params=FLAT)
    run.wait("ix_built is indexed", lambda: run.quiet.GetIndexBuildProgress(
        collection_name="ix_built").indexed_rows == 5)
    run.DescribeIndex(collection_name="ix_built")
    run.GetIndexState(collection_name="ix_built")
    run.GetIndexBuildProgress(collection_name="ix_built")
    run.GetIndexStatistics(collection_name="ix_built")
