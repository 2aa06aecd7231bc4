"""Reads a server: raw answers of its API, not what a client library makes of them."""

import base64
import json
import time

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

from values import columns

VARCHAR = schema_pb2.DataType.VarChar
PAGE_SIZES = (1000, 100, 10)
# The most that one answer without a cursor may hold.
WINDOW = 16_384
LOAD_SECONDS = 180
I64_MIN = -(2**63)


class Refused(Exception):
    """The server answered that it will not."""


def too_big(error):
    return (
        isinstance(error, grpc.RpcError)
        and error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        or "exceed" in str(error)
        or "larger than max" in str(error)
    )


def reason(error):
    return f"{error.code()} {error.details()}"[:300] if isinstance(error, grpc.RpcError) else str(error)[:300]


def quoted(key):
    return json.dumps(key, ensure_ascii=False).replace("\x7f", "\\u007f")


def everything(key):
    """An expression that is true of every row. Milvus Lite 3.2.2 ignores partitions where there is none."""
    return f'{key.name} >= ""' if key.data_type == VARCHAR else f"{key.name} >= 0 or {key.name} < 0"


def behind(key, last):
    if key.data_type == VARCHAR:
        return f"{key.name} > {quoted(last)}"
    # Milvus Lite 2.5.1 reads the literal of the smallest number as the one behind it.
    return f"{key.name} > {last}" if last > I64_MIN + 1 else f"{key.name} >= {last + 1}"


class Side:
    """The source or the target."""

    def __init__(self, label, uri, token):
        self.label, self.token = label, token
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.stub = milvus_pb2_grpc.MilvusServiceStub(grpc.insecure_channel(uri.split("://")[1], options=unlimited))

    def call(self, method, request, db):
        metadata = [("dbname", db)]
        if self.token:
            metadata.append(("authorization", base64.b64encode(self.token.encode()).decode()))
        if "db_name" in request.DESCRIPTOR.fields_by_name:
            request.db_name = db
        answer = getattr(self.stub, method)(request, metadata=metadata, timeout=180)
        status = answer if isinstance(answer, common_pb2.Status) else answer.status
        if status.code or status.error_code:
            raise Refused(f"{method}: {status.code or status.error_code} {status.reason[:200]}")
        return answer

    def optional(self, method, request, db):
        """The answer, or None where the server does not know the call or has nothing to say."""
        try:
            return self.call(method, request, db)
        except Refused:
            return None
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
            return None

    def has(self, db, name):
        databases = self.optional("ListDatabases", milvus_pb2.ListDatabasesRequest(), "default")
        if databases and databases.db_names and db not in databases.db_names:
            return False
        return name in self.call("ShowCollections", milvus_pb2.ShowCollectionsRequest(), db).collection_names

    def describe(self, db, name):
        return self.call("DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=name), db)

    def database(self, db):
        return self.optional("DescribeDatabase", milvus_pb2.DescribeDatabaseRequest(), db)

    def partitions(self, db, name):
        """Names of all partitions; empty where the server has none."""
        got = self.optional("ShowPartitions", milvus_pb2.ShowPartitionsRequest(collection_name=name), db)
        return sorted(got.partition_names) if got else []

    def indexes(self, db, name):
        # A collection without any index is an error of this call.
        got = self.optional("DescribeIndex", milvus_pb2.DescribeIndexRequest(collection_name=name), db)
        return list(got.index_descriptions) if got else []

    def aliases(self, db, name, described):
        got = self.optional("ListAliases", milvus_pb2.ListAliasesRequest(collection_name=name), db)
        return sorted({*described.aliases, *(got.aliases if got else [])})

    def stored(self, db, name):
        """The number of rows that the server keeps on its books."""
        request = milvus_pb2.GetCollectionStatisticsRequest(collection_name=name)
        stats = self.call("GetCollectionStatistics", request, db).stats
        return next((int(pair.value) for pair in stats if pair.key == "row_count"), None)

    def begin_load(self, db, name):
        """Has the whole collection loaded."""
        self.call("LoadCollection", milvus_pb2.LoadCollectionRequest(collection_name=name, replica_number=1), db)

    def load(self, db, name):
        """Loads the whole collection and waits for it."""
        self.begin_load(db, name)
        state = milvus_pb2.GetLoadStateRequest(collection_name=name)
        end = time.monotonic() + LOAD_SECONDS
        while self.call("GetLoadState", state, db).state != common_pb2.LoadStateLoaded:
            if time.monotonic() > end:
                raise Refused(f"{self.label}: {name} is not loaded after {LOAD_SECONDS} s")
            time.sleep(0.1)

    def query(self, db, name, expression, fields, partition, limit=None, offset=None):
        request = milvus_pb2.QueryRequest(
            collection_name=name,
            expr=expression,
            output_fields=fields,
            consistency_level=common_pb2.Strong,
            partition_names=[partition] if partition else [],
        )
        parameters = {"timezone": "UTC", "ignore_growing": "False", "reduce_stop_for_best": "False"}
        if limit and offset is None:
            parameters["iterator"] = "True"
        parameters |= {k: str(v) for k, v in (("limit", limit), ("offset", offset)) if v is not None}
        request.query_params.extend(common_pb2.KeyValuePair(key=k, value=v) for k, v in parameters.items())
        return self.call("Query", request, db)

    def count(self, db, name, partition, expression=""):
        answer = self.query(db, name, expression, ["count(*)"], partition)
        return answer.fields_data[0].scalars.long_data.data[0]

    def steady_count(self, db, name):
        """The count once it stays the same; on Milvus, which asks for a token here, it moves for some time after a load."""
        last, same = self.count(db, name, None), 0
        while same < 3 and self.token:
            time.sleep(0.1)
            now = self.count(db, name, None)
            same, last = (same + 1 if now == last else 0), now
        return last

    def counts(self, db, name, partitions, key):
        """The count of all, and of each partition: None for each if they do not add up to that of all."""
        whole = self.steady_count(db, name)
        if len(partitions) == 1:
            return whole, {partitions[0]: whole}
        try:
            each = {p: self.count(db, name, p, everything(key)) for p in partitions}
        except Refused:
            # No expression can name this key.
            each = {p: self.count(db, name, p) for p in partitions}
        return whole, each if sum(each.values()) == whole else dict.fromkeys(partitions)

    def rows(self, db, name, key, fields, partition, count, notes):
        """{key: {field: value}}, read in two ways. What only one of them shows is noted."""
        found, seen = {}, {}

        def keep(answer, way):
            table = columns(answer, fields)
            for at, value in enumerate(table[key.name]):
                found.setdefault(value, {field: values[at] for field, values in table.items()})
                seen.setdefault(way, set()).add(value)
            return table[key.name]

        def in_pages(size):
            order = (lambda k: k.encode()) if key.data_type == VARCHAR else (lambda k: k)
            expression, last = everything(key), None
            while keys := keep(self.query(db, name, expression, fields, partition, size), "pages"):
                top = max(keys, key=order)
                if last is not None and order(top) <= order(last):
                    raise Refused("pages do not go on")
                expression, last = behind(key, top), top

        problems = []
        for size in PAGE_SIZES:
            try:
                in_pages(size)
                break
            except (Refused, grpc.RpcError) as error:
                if not too_big(error) or size == PAGE_SIZES[-1]:
                    problems.append(f"in pages: {reason(error)}")
                    break
        try:
            keep(self.query(db, name, everything(key), fields, partition), "at once")
        except (Refused, grpc.RpcError) as error:
            problems.append(f"at once: {reason(error)}")
        if count == 0 and not found:
            # Milvus Lite 2.5.1 fails at reading nothing.
            return found
        if len(problems) == 2:
            if count is not None and count > WINDOW:
                raise Refused("; ".join(problems))
            # No expression can name this key, but so few rows come without one.
            keep(self.query(db, name, "", fields, partition, WINDOW, 0), "at once")
        if len(seen) == 2 and seen["pages"] != seen["at once"]:
            notes.append(f"{self.label}: {len(seen['pages'])} keys in pages, {len(seen['at once'])} at once")
        return found
