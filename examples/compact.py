#!/usr/bin/env python3
"""Writes, deletes and compacts with pymilvus' MilvusClient (2.4 or later), and checks that the right rows are left.

    pip install pymilvus
    python3 examples/compact.py 127.0.0.1:19530

There is nothing of ours in it: the same program runs against Milvus.
"""

import sys
import time

from pymilvus import MilvusClient

NAME = "example_books"
BATCHES = 8
ROWS = 250


def main():
    endpoint = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:19530"
    client = MilvusClient(uri=f"http://{endpoint}")
    if client.has_collection(NAME):
        client.drop_collection(NAME)
    # Without this property the server may have compacted the segments before we ask for it.
    client.create_collection(NAME, dimension=8, metric_type="L2", consistency_level="Strong",
                             properties={"collection.autocompaction.enabled": "false"})

    # Each flush makes a segment; deletes of older rows become delta logs.
    for batch in range(BATCHES):
        first = batch * ROWS
        client.insert(NAME, [{"id": key, "vector": [key % 100 / 100] * 8, "title": f"book {key}"}
                             for key in range(first, first + ROWS)])
        client.flush(NAME)
    client.delete(NAME, filter="id % 4 == 0")
    client.flush(NAME)

    job = client.compact(NAME)
    deadline = time.monotonic() + 60
    while client.get_compaction_state(job) != "Completed":
        if time.monotonic() > deadline:
            sys.exit(f"compaction {job} has not completed within 60 s")
        time.sleep(0.1)
    for plan in client.get_compaction_plans(job).plans:
        print(f"{len(plan.sources)} segments became {plan.target}")

    count = client.query(NAME, filter="", output_fields=["count(*)"])[0]["count(*)"]
    if count != BATCHES * ROWS * 3 // 4:
        sys.exit(f"{count} rows are left, expected {BATCHES * ROWS * 3 // 4}")
    print(f"{count} rows are left; two of them: "
          f"{client.query(NAME, filter='id in [1, 2]', output_fields=['title'])}")
    client.close()


if __name__ == "__main__":
    main()
