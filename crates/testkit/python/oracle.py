"""Makes test data and looks at servers with pymilvus. Reads one JSON request a line, {"servers": …, "script": …}, runs
the script with the functions below and one client for each server (named as the server), and answers
{"result": …} or {"error": …}."""

import base64
import json
import struct
import sys
import time
import traceback

import grpc
import numpy as np
from pymilvus import DataType, Function, FunctionType, MilvusClient
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

SERVERS = {}


class Server:
    """A server: `client` is pymilvus' own, `call` sends raw requests."""

    def __init__(self, uri, token, ca, certificate, key):
        self.uri, self.token, self.clients, self.options = uri, token or "", {}, {}
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        address = uri.split("//")[1]
        if ca:
            read = lambda path: open(path, "rb").read()
            self.options = dict(secure=True, server_name="localhost", ca_pem_path=ca, client_pem_path=certificate, client_key_path=key)
            channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(read(ca), read(key), read(certificate)), options=limits)
        else:
            channel = grpc.insecure_channel(address, options=limits)
        self.stub = milvus_pb2_grpc.MilvusServiceStub(channel)

    @property
    def client(self):
        return self.in_db("default")

    def in_db(self, db):
        db = db or "default"
        if db not in self.clients:
            named = {} if db == "default" else {"db_name": db}
            # milvus-lite's server ends connections whose client asks every ten seconds whether it lives, as pymilvus does.
            quiet = {"grpc.keepalive_time_ms": 600_000, "grpc.keepalive_permit_without_calls": 0}
            self.clients[db] = MilvusClient(self.uri, token=self.token, grpc_options=quiet, **named, **self.options)
        return self.clients[db]

    def call(self, name, db="default", **fields):
        request = getattr(milvus_pb2, name + "Request")(**fields)
        if "db_name" in request.DESCRIPTOR.fields_by_name:
            request.db_name = db
        metadata = [("authorization", base64.b64encode(self.token.encode()).decode())] if self.token else []
        answer = getattr(self.stub, name)(request, metadata=metadata + [("dbname", db)], timeout=120)
        status = answer if isinstance(answer, common_pb2.Status) else answer.status
        if status.code or status.error_code:
            raise RuntimeError(f"{name}: {status.code} {status.error_code} {status.reason}")
        return answer

    def make(self, name, fields, db=None, dynamic=False, index=None, **options):
        """A collection. `fields` is a list of (name, type, options); `index` maps fields to index options."""
        client = self.in_db(db)
        schema = client.create_schema(auto_id=options.pop("auto_id", False), enable_dynamic_field=dynamic, description=options.pop("description", ""))
        for function in options.pop("functions", []):
            schema.add_function(function)
        for field, data_type, extra in fields:
            schema.add_field(field, data_type, **extra)
        partitions = options.pop("partitions", [])
        client.create_collection(name, schema=schema, **options)
        for partition in partitions:
            client.create_partition(name, partition)
        for field, params in (index or {}).items():
            self.index(name, field, db=db, **params)

    def index(self, name, field, db=None, **params):
        client = self.in_db(db)
        made = client.prepare_index_params()
        made.add_index(field, **params)
        client.create_index(name, made)

    def names(self, db=None):
        return sorted(self.in_db(db).list_collections())

    def keeps_no_scratch(self, patience=60):
        """No scratch collection that is there now stays: those of other tests go as well."""
        scratch = lambda: {name for name in self.names() if name.startswith("vf_probe")}
        left, deadline = scratch(), time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(0.2)
            left &= scratch()
        assert not left, left
        return True

    def loaded(self, name, db="default"):
        """Load state of every partition, asked one by one."""
        partitions = self.call("ShowPartitions", db, collection_name=name).partition_names
        state = lambda p: common_pb2.LoadState.Name(self.call("GetLoadState", db, collection_name=name, partition_names=[p]).state)
        return {partition: state(partition) for partition in partitions}

    def count(self, name, partition=None, db=None):
        partitions = {"partition_names": [partition]} if partition else {}
        got = self.in_db(db).query(name, "", output_fields=["count(*)"], consistency_level="Strong", **partitions)
        return got[0]["count(*)"]

    def rows(self, name, db="default", fields=None, partitions=None, key="id"):
        """All rows as {(partition, key): {field: value}}; unlimited queries, hence not for repeated keys."""
        described = self.call("DescribeCollection", db, collection_name=name).schema
        fields = fields or [f.name for f in described.fields if not f.is_function_output] + (["$meta"] if described.enable_dynamic_field else [])
        kind = next(f.data_type for f in described.fields if f.name == key)
        partitions = partitions or self.partitions(name, db)
        if any(f.is_partition_key for f in described.fields):
            partitions = [None]
        found = {}
        for partition in partitions:
            # Without a limit the expression must not be empty.
            expression = f'{key} >= ""' if kind == DataType.VARCHAR else f"{key} >= 0 or {key} < 0"
            answer = self.call(
                "Query", db, collection_name=name, expr=expression, output_fields=fields,
                query_params=[common_pb2.KeyValuePair(key="timezone", value="UTC")],
                partition_names=[partition] if partition else [], consistency_level=common_pb2.Strong)
            columns = {data.field_name or "$meta": column(data) for data in answer.fields_data}
            for at, value in enumerate(columns.get(key, [])):
                found[(partition, value)] = {field: columns[field][at] for field in fields}
        return found

    def partitions(self, name, db="default"):
        try:
            return sorted(self.call("ShowPartitions", db, collection_name=name).partition_names) or [None]
        except grpc.RpcError:
            return [None]

    def load(self, name, db="default"):
        """Loads and waits until the loaded segments hold the stored rows, which is later than "loaded"."""
        self.in_db(db).load_collection(name)
        rows = lambda infos: sum(info.num_rows for info in infos)
        stored = lambda: rows(self.call("GetPersistentSegmentInfo", db, dbName=db, collectionName=name).infos)
        loaded = lambda: rows(self.call("GetQuerySegmentInfo", db, dbName=db, collectionName=name).infos)
        try:
            stored()
        except grpc.RpcError:
            return
        until(lambda: loaded() >= stored())


def column(data):
    """The values of a column, one a row, in a form that is equal only for equal values."""
    valid = list(data.valid_data)
    kind = data.WhichOneof("field")
    if kind == "vectors":
        vectors = data.vectors
        which = vectors.WhichOneof("data")
        if which == "float_vector":
            raw, width = np.array(vectors.float_vector.data, dtype="<f4").tobytes(), vectors.dim * 4
        elif which == "sparse_float_vector":
            return [bytes(row).hex() for row in vectors.sparse_float_vector.contents]
        else:
            raw = getattr(vectors, which)
            width = vectors.dim // 8 if which == "binary_vector" else vectors.dim * 2
        return [raw[at:at + width].hex() for at in range(0, len(raw), width)]
    which = data.scalars.WhichOneof("data")
    values = list(getattr(data.scalars, which).data) if which else []
    values = [scalar(which, value) for value in values] or [None] * len(valid)
    return [None if valid and not valid[at] else value for at, value in enumerate(values)]


def scalar(which, value):
    if which == "float_data":
        return struct.pack("<f", value).hex()
    if which == "double_data":
        return struct.pack("<d", value).hex()
    if which == "json_data":
        return json.dumps(json.loads(value), sort_keys=True)
    if which == "array_data":
        inner = value.WhichOneof("data")
        return [scalar(inner, item) for item in getattr(value, inner).data] if inner else []
    if isinstance(value, bytes):
        return value.hex()
    return value


def same(source, target, name, db="default", target_db=None, **options):
    """Asserts that two servers hold equal rows. Returns their number."""
    mine, theirs = source.rows(name, db, **options), target.rows(name, target_db or db, **options)
    missing, extra = sorted(map(str, mine.keys() - theirs.keys())), sorted(map(str, theirs.keys() - mine.keys()))
    assert not missing and not extra, f"missing {missing[:5]}, extra {extra[:5]}"
    for key, row in mine.items():
        for field, value in row.items():
            assert value == theirs[key][field], f"{key} {field}: {str(value)[:200]} became {str(theirs[key][field])[:200]}"
    return len(mine)


def described(server, name, db="default"):
    """The whole description without what every server assigns anew."""
    answer = server.call("DescribeCollection", db, collection_name=name)
    for field in answer.schema.fields:
        field.fieldID = 0
        params = sorted((p.key, p.value) for p in field.type_params)
        del field.type_params[:]
        field.type_params.extend(common_pb2.KeyValuePair(key=k, value=v) for k, v in params)
    for gone in ("collectionID", "created_timestamp", "created_utc_timestamp", "start_positions", "virtual_channel_names",
                 "physical_channel_names", "db_id", "db_name", "request_time", "update_timestamp", "update_timestamp_str"):
        if gone in answer.DESCRIPTOR.fields_by_name:
            answer.ClearField(gone)
    # Servers keep these in maps and answer them in any order.
    answer.properties.sort(key=lambda p: p.key)
    answer.aliases.sort()
    return str(answer)


def indexes(server, name, db="default"):
    found = server.call("DescribeIndex", db, collection_name=name).index_descriptions
    return {i.field_name: dict(sorted((p.key, p.value) for p in i.params), name=i.index_name) for i in found}


def until(condition, seconds=60):
    """Waits until something holds."""
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "it did not come to be"
        time.sleep(0.05)


def vectors(count, dim, seed=7):
    return np.random.default_rng(abs(seed)).random((count, dim), dtype=np.float32).tolist()


KEY = ("id", DataType.INT64, dict(is_primary=True))
TEXT_KEY = ("id", DataType.VARCHAR, dict(is_primary=True, max_length=200))
TEXT = ("text", DataType.VARCHAR, dict(max_length=2000))
VECTOR = ("vector", DataType.FLOAT_VECTOR, dict(dim=8))
HNSW = dict(index_type="HNSW", metric_type="L2", params={"M": 8, "efConstruction": 64})
FLAT = dict(index_type="FLAT", metric_type="L2")


def books(count, first=0, text="book"):
    return [
        {"id": first + at, "text": f"{text} {first + at}", "vector": vector}
        for at, vector in enumerate(vectors(count, 8, first))
    ]


def documents(count, first=0):
    """Rows with a document, an array (sometimes empty) and a dynamic value; row `key` is always the same."""
    return [
        dict(id=key, text=f"text {key}", document={"n": key, "deep": {"n": key, "list": [None, 0.5, "字"]}},
             tags=[f"t{at}" for at in range(key % 4)], vector=vectors(1, 8, key)[0], extra={"key": key})
        for key in range(first, first + count)
    ]


def simple(server, name, rows=100, db=None, partitions=(), load=True, **options):
    """A collection with keys 0, 1, …, spread over its partitions in turn, stored and loaded."""
    server.make(name, [KEY, TEXT, VECTOR], db=db, partitions=list(partitions), index={"vector": FLAT}, **options)
    made = books(rows)
    names = ["_default", *partitions]
    for at, partition in enumerate(names):
        part = made[at::len(names)]
        if part:
            server.in_db(db).insert(name, part, partition_name=partition)
    if rows:
        server.in_db(db).flush(name)
    if load:
        server.load(name, db or "default")


def main():
    # What a library prints must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        scope = dict(globals())
        try:
            for name, connection in request["servers"].items():
                at = tuple(connection)
                if at not in SERVERS:
                    SERVERS[at] = Server(*connection)
                scope[name] = SERVERS[at]
            exec(request["script"], scope)
            answer = {"result": scope.get("result")}
        except BaseException:
            answer = {"error": traceback.format_exc(limit=6)}
        print(json.dumps(answer), file=answers, flush=True)


main()
