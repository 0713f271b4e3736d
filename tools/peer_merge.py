#!/usr/bin/env python3
"""The merge of benches/merge written by hand with pyarrow: the yardstick for ours.

    cargo bench --bench merge -- 128 DIR      leaves the segments it merges in DIR
    tools/peer_merge.py DIR                   merges the same ones

One thread, one column after the other, one row group at a time: read, drop every tenth row (or none), write zstd, sync.
It knows neither keys nor timestamps of deletes, filters, or memory limits, so it has less to do.
"""

import os
import struct
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

EVENT_HEADER = 17
EVENT_TIMES = 16
# Offset of the descriptor's length in its header, which begins after the magic number.
DESCRIPTOR_LENGTH = 4 + 9


def payload(path):
    """The Parquet file inside the container: behind the descriptor and the header and times of the event."""
    data = path.read_bytes()
    length, = struct.unpack_from("<i", data, DESCRIPTOR_LENGTH)
    return pa.py_buffer(data)[4 + length + EVENT_HEADER + EVENT_TIMES:]


def merge(segments, deleted, out):
    written = 0
    for field in sorted(folder.name for folder in segments[0].iterdir()):
        writer = None
        row = 0
        with open(out / field, "wb") as file:
            for segment in segments:
                for log in sorted((segment / field).iterdir(), key=lambda f: int(f.name)):
                    for batch in pq.ParquetFile(pa.BufferReader(payload(log))).iter_batches(4096):
                        if deleted:
                            keep = pa.array([(row + n) % 10 != 7 for n in range(len(batch))])
                            row += len(batch)
                            batch = batch.filter(keep)
                        if writer is None:
                            writer = pq.ParquetWriter(file, batch.schema, compression="zstd", use_dictionary=False)
                        writer.write_batch(batch)
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        written += (out / field).stat().st_size
    return written


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = Path(sys.argv[1]) / "files" / "insert_log" / "1" / "2"
    for name, deleted, ids in [("no deletes", False, range(1, 5)), ("10 % deleted", True, range(5, 9))]:
        best = None
        for _ in range(3):
            with tempfile.TemporaryDirectory(dir=sys.argv[1]) as out:
                begun = time.perf_counter()
                written = merge([root / str(id) for id in ids], deleted, Path(out))
                seconds = time.perf_counter() - begun
            best = min(best or seconds, seconds)
        print(f"pyarrow, {name}: {written / 2**20:.0f} MiB out, {best:.3f} s")


if __name__ == "__main__":
    main()
