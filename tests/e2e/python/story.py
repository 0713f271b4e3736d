"""The story of clients that only compact: pymilvus writes, the client under test compacts, pymilvus checks."""

from helpers import GRPC, MANUAL, check_plans, own_plans, raw, segments, vectors, wait_indexed
from pymilvus import MilvusClient
from pymilvus.grpc_gen import milvus_pb2 as pb

DIM = 8


class Plan:
    """Sources and target of one merge, as some client reported them."""

    def __init__(self, sources, target):
        self.sources, self.target = [int(source) for source in sources], int(target)


class Story:
    """Three flushed segments with deletes, and their right form after a compaction."""

    def __init__(self, name):
        self.name = name
        self.client = MilvusClient(uri=f"http://{GRPC}")
        self.client.create_collection(name, dimension=DIM, metric_type="L2", consistency_level="Strong",
                                      properties=MANUAL)
        for first in (0, 400, 800):
            keys = range(first, first + 400)
            rows = [{"id": key, "vector": vector} for key, vector in zip(keys, vectors(keys, DIM))]
            assert self.client.insert(name, rows)["insert_count"] == 400
            self.client.flush(name)
        self.expected = [key for key in range(1200) if key % 10]
        assert self.client.delete(name, list(range(0, 1200, 10)))["delete_count"] == 120
        self.client.flush(name)
        wait_indexed(name)
        self.before = segments(name)
        assert len(self.before) == 3
        self.collection_id = raw().DescribeCollection(pb.DescribeCollectionRequest(collection_name=name)).collectionID

    def check(self, plans):
        plans = own_plans(plans, self.before)
        assert len(plans) == 1
        check_plans(plans, self.before, segments(self.name))
        count = self.client.query(self.name, filter="", output_fields=["count(*)"], consistency_level="Strong")
        assert count[0]["count(*)"] == len(self.expected)
        rows = self.client.query(self.name, filter="id >= 0", output_fields=["id"], consistency_level="Strong")
        assert sorted(row["id"] for row in rows) == self.expected
        assert sum(segments(self.name).values()) == len(self.expected)
        self.client.close()
