"""What every case is made with: reproducible values, and a server to put collections on."""

import base64
import logging
import random
import uuid
import zlib

import grpc
import numpy as np
from pymilvus import DataType as D
from pymilvus import MilvusClient
from pymilvus.grpc_gen import milvus_pb2_grpc, schema_pb2

logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
logging.disable(logging.CRITICAL)
CASES = {}
WORDS = (
    "vector search database refund policy invoice 向量 数据库 检索 发票 退款 知识库 München Café naïve résumé поиск база данных 検索 ベクトル "
    "embedding chunk paragraph section the of and to a in is that it was"
).split()
I63 = 2**63 - 1
KEYWORDS = [
    "like",
    "LIKE",
    "in",
    "IN",
    "not",
    "and",
    "or",
    "exists",
    "EXISTS",
    "true",
    "True",
    "false",
    "json_contains",
    "array_contains",
    "array_length",
    "text_match",
    "phrase_match",
    "is",
    "null",
    "NULL",
    "random_sample",
    "count",
]


def case(cid, *servers):
    """Registers a case: a function of a server and of random values. It runs on these servers only."""

    def keep(f):
        CASES[cid] = (servers, f)
        return f

    return keep


class Rand(random.Random):
    """Reproducible values of one case."""

    def __init__(self, cid):
        super().__init__(zlib.crc32(cid.encode()))
        self.np = np.random.default_rng(zlib.crc32(cid.encode()))

    def vec(self, dim):
        return self.np.standard_normal(dim).astype(np.float32).tolist()

    def unit(self, dim):
        v = self.np.standard_normal(dim).astype(np.float32)
        return (v / np.linalg.norm(v)).astype(np.float32).tolist()

    def text(self, words=20):
        return " ".join(self.choice(WORDS) for _ in range(self.randint(1, words)))

    def uuid(self):
        return str(uuid.UUID(int=self.getrandbits(128), version=4))

    def hex(self, n):
        return "%0*x" % (n, self.getrandbits(4 * n))


class Server:
    """Makes collections, and remembers which."""

    def __init__(self, kind, uri, token):
        self.kind, self.uri, self.token = kind, uri, token
        self.made, self.notes, self.count, self.clients = [], [], 0, {}
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.stub = milvus_pb2_grpc.MilvusServiceStub(grpc.insecure_channel(uri.split("://")[1], options=limits))

    def c(self, db=None):
        """The client of a database."""
        if db not in self.clients:
            named = {"db_name": db} if db else {}
            # Milvus Lite ends connections that are pinged every ten seconds.
            quiet = {"grpc.keepalive_time_ms": 600_000, "grpc.keepalive_permit_without_calls": 0}
            self.clients[db] = MilvusClient(self.uri, token=self.token, grpc_options=quiet, **named)
        return self.clients[db]

    def note(self, text):
        self.notes.append(str(text)[:240])

    def maybe(self, what, f, *a, **kw):
        """A step that this server may refuse: said, not fatal."""
        try:
            return f(*a, **kw)
        except Exception as e:
            self.note(f"not possible here: {what}: {short(e)}")
            return None

    def drop(self, name, db=None):
        if self.c(db).has_collection(name):
            for alias in aliases_of(self.c(db), name):
                self.c(db).drop_alias(alias)
            self.c(db).drop_collection(name)

    def database(self, db, **kw):
        self.c().create_database(db, **kw)

    def make(self, name, fields, db=None, dynamic=False, auto_id=False, desc="", functions=(), partitions=(), **kw):
        """fields: (name, type[, more])"""
        c = self.c(db)
        schema = c.create_schema(auto_id=auto_id, enable_dynamic_field=dynamic, description=desc)
        for f in fields:
            extra = dict(f[2]) if len(f) > 2 else {}
            schema.add_field(f[0], f[1], **extra)
        for f in functions:
            schema.add_function(f)
        c.create_collection(name, schema=schema, **kw)
        self.made.append((db or "default", name))
        for p in partitions:
            if not c.has_partition(name, p):
                c.create_partition(name, p)
        return name

    def put(self, name, rows, db=None, partition=None, batch=400):
        kw = {"partition_name": partition} if partition else {}
        for lo in range(0, len(rows), batch):
            self.c(db).insert(name, rows[lo : lo + batch], **kw)
        self.count += len(rows)

    def end(self, name, index=None, db=None, load=True, flush=True, aliases=()):
        """index: {field: (type, metric or None, params or None[, index name])}"""
        c = self.c(db)
        if flush:
            self.maybe("flush", c.flush, name)
        for field, spec in (index or {}).items():
            self.index(name, field, *spec, db=db)
        for alias in aliases:
            c.create_alias(name, alias)
        if load:
            c.load_collection(name)
        elif self.kind == "3.2.2":  # There, a new collection counts as loaded.
            self.maybe("release", c.release_collection, name)

    def index(self, name, field, kind, metric=None, params=None, index_name=None, db=None):
        p = self.c(db).prepare_index_params()
        kw = {"index_type": kind}
        if metric:
            kw["metric_type"] = metric
        if params is not None:
            kw["params"] = params
        if index_name:
            kw["index_name"] = index_name
        p.add_index(field, **kw)
        self.c(db).create_index(name, p)

    def raw(self, request):
        """Insert fields as they are; pymilvus forbids some of them."""
        meta = [("authorization", base64.b64encode(self.token.encode()).decode())] if self.token else []
        got = self.stub.Insert(request, metadata=meta, timeout=60)
        if got.status.code or got.status.error_code:
            raise RuntimeError(got.status.reason)
        self.count += request.num_rows
        return got


def aliases_of(c, name):
    found = set()
    try:
        found.update(c.describe_collection(name).get("aliases", []))
        found.update(c.list_aliases(name).get("aliases", []))
    except Exception:
        pass
    return sorted(found)


def short(e):
    return f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:200]


def field(name, kind, values, dim=0, dynamic=False):
    """A FieldData of plain values for raw inserts."""
    f = schema_pb2.FieldData(field_name=name, type=int(kind), is_dynamic=dynamic)
    if kind == D.INT64:
        f.scalars.long_data.data.extend(values)
    elif kind == D.VARCHAR:
        f.scalars.string_data.data.extend(values)
    elif kind == D.JSON:
        f.scalars.json_data.data.extend(values)
    elif kind == D.FLOAT:
        f.scalars.float_data.data.extend(values)
    elif kind == D.FLOAT_VECTOR:
        f.vectors.dim = dim
        f.vectors.float_vector.data.extend(x for v in values for x in v)
    elif kind == D.SPARSE_FLOAT_VECTOR:
        f.vectors.dim = dim
        f.vectors.sparse_float_vector.dim = dim
        f.vectors.sparse_float_vector.contents.extend(values)
    else:
        raise ValueError(kind)
    return f


PK = dict(is_primary=True)
DIM = 16
