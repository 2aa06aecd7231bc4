"""The script that an engineer who knows Milvus writes in an hour to move a collection: raw messages, several processes.

It is what `cargo xtask bench copy` counts in. The schema goes to the target as the source describes it, each process copies
one range of primary keys, and the columns of an answer become the columns of an insert without a Python row in between.
Like such scripts it has no retry, no verification and no index, and it moves a collection with one partition.

usage: tuned_script.py SOURCE_URI TARGET_URI COLLECTION    (credentials in SOURCE_TOKEN and TARGET_TOKEN)
"""

import base64
import json
import multiprocessing
import os
import sys
import time
from urllib.parse import urlsplit

import grpc
import pymilvus
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

PROCESSES = 4
PAGE_ROWS = 2000
KEYS_AT_ONCE = 16384
FLUSH_POLL_SECONDS = 0.1
KINDS_OF_ELEMENTS = {
    schema_pb2.Bool: "bool_data",
    schema_pb2.Int64: "long_data",
    schema_pb2.Float: "float_data",
    schema_pb2.Double: "double_data",
    schema_pb2.VarChar: "string_data",
}


class Server:
    """One side. Every call fails loudly: gRPC raises by itself, and the status inside the answer is looked at here."""

    def __init__(self, uri: str, token: str) -> None:
        unbounded = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.stub = milvus_pb2_grpc.MilvusServiceStub(grpc.insecure_channel(urlsplit(uri).netloc, unbounded))
        self.metadata = (("authorization", base64.b64encode(token.encode()).decode()),)

    def call(self, method: str, request):
        answer = getattr(self.stub, method)(request, metadata=self.metadata)
        status = answer if isinstance(answer, common_pb2.Status) else answer.status
        if status.code or status.error_code:
            raise RuntimeError(f"{method}: {status.reason}")
        return answer


def source() -> Server:
    return Server(sys.argv[1], os.environ.get("SOURCE_TOKEN", ""))


def target() -> Server:
    return Server(sys.argv[2], os.environ.get("TARGET_TOKEN", ""))


def literal(key) -> str:
    return json.dumps(key, ensure_ascii=False)


def keys_of(columns, key: str):
    column = next(column for column in columns if column.field_name == key)
    return column.scalars.long_data.data or column.scalars.string_data.data


def pages(server: Server, name: str, key: str, key_type: int, columns: list, rows: int, after, until):
    """The rows with `after < key <= until`, in the order of their keys; the server always answers the lowest ones."""
    is_text = key_type == schema_pb2.VarChar
    while True:
        bounds = [f"{key} > {literal(after)}"] if after is not None else []
        bounds += [f"{key} <= {literal(until)}"] if until is not None else []
        everything = f'{key} >= ""' if is_text else f"{key} >= {-(2**63) + 1}"
        query = milvus_pb2.QueryRequest(
            collection_name=name,
            expr=" and ".join(bounds) or everything,
            output_fields=columns,
            consistency_level=common_pb2.Strong,
            query_params=[
                common_pb2.KeyValuePair(key="limit", value=str(rows)),
                common_pb2.KeyValuePair(key="iterator", value="True"),
                common_pb2.KeyValuePair(key="reduce_stop_for_best", value="True"),
            ],
        )
        answer = server.call("Query", query).fields_data
        keys = keys_of(answer, key) if answer else []
        if not keys:
            return
        yield keys, answer
        after = keys[-1]
        if after == until:
            return


def fill_empty_arrays(columns) -> None:
    """2.3.5 answers an empty array without its type, and a server that is given that back panics and ends."""
    for column in columns:
        if column.type == schema_pb2.Array:
            kind = KINDS_OF_ELEMENTS.get(column.scalars.array_data.element_type, "int_data")
            for array in column.scalars.array_data.data:
                if array.WhichOneof("data") is None:
                    getattr(array, kind).SetInParent()


def copy(job) -> int:
    name, key, key_type, columns, after, until = job
    read, write, copied = source(), target(), 0
    for keys, answer in pages(read, name, key, key_type, columns, PAGE_ROWS, after, until):
        fill_empty_arrays(answer)
        insert = milvus_pb2.InsertRequest(collection_name=name, fields_data=answer, num_rows=len(keys))
        copied += write.call("Insert", insert).insert_cnt
    return copied


def even_ranges(server: Server, name: str, key: str, key_type: int) -> list:
    keys = []
    for page, _ in pages(server, name, key, key_type, [key], KEYS_AT_ONCE, None, None):
        keys += page
    size = -(-len(keys) // PROCESSES) or 1
    cuts = [None, *keys[size - 1 : -1 : size], keys[-1] if keys else None]
    return list(zip(cuts, cuts[1:])) if keys else []


def flush(server: Server, name: str) -> None:
    flushed = server.call("Flush", milvus_pb2.FlushRequest(collection_names=[name]))
    state = milvus_pb2.GetFlushStateRequest(
        collection_name=name,
        segmentIDs=flushed.coll_segIDs[name].data,
        flush_ts=flushed.coll_flush_ts[name],
    )
    while not server.call("GetFlushState", state).flushed:
        time.sleep(FLUSH_POLL_SECONDS)


def main() -> None:
    name = sys.argv[3]
    # Processes first: gRPC must not have begun where they are forked.
    with multiprocessing.get_context("fork").Pool(PROCESSES) as processes:
        read, write = source(), target()
        described = read.call("DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=name))
        create = milvus_pb2.CreateCollectionRequest(
            collection_name=name,
            schema=described.schema.SerializeToString(),
            shards_num=described.shards_num,
            consistency_level=described.consistency_level,
        )
        write.call("CreateCollection", create)
        key = next(field for field in described.schema.fields if field.is_primary_key)
        columns = [field.name for field in described.schema.fields]
        columns += ["$meta"] if described.schema.enable_dynamic_field else []
        ranges = even_ranges(read, name, key.name, key.data_type)
        jobs = [(name, key.name, key.data_type, columns, after, until) for after, until in ranges]
        rows = sum(processes.imap_unordered(copy, jobs))
        flush(write, name)
    print(json.dumps({"rows": rows, "pymilvus": pymilvus.__version__}))


if __name__ == "__main__":
    main()
