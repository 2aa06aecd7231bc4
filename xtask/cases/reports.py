"""Collections that reproduce public reports (README.md names them)."""

import json
import math
import struct
import time

import numpy as np
from pymilvus import DataType as D
from pymilvus import Function, FunctionType
from pymilvus.grpc_gen import milvus_pb2

from seeding import DIM, I63, KEYWORDS, PK, aliases_of, case, field, short


@case("c20_repeated_keys", "2.3.5", "2.5.1")
def c20(s, r):
    n = s.make(
        "c20_repeated_keys",
        [("BID", D.INT64, PK), ("dense", D.FLOAT_VECTOR, dict(dim=DIM)), ("v", D.INT64)],
        dynamic=True,
    )
    for turn in range(3):  # every key again, newer values; flushed between, so in other segments
        s.put(n, [{"BID": k * 3 + 1, "dense": r.vec(DIM), "v": turn, "turn": turn} for k in range(0, 600, turn + 1)])
        s.maybe("flush", s.c().flush, n)
        time.sleep(1.1)
    s.end(
        n,
        {
            "dense": ("FLAT", "COSINE", {})
            if s.kind == "2.5.1"
            else ("HNSW", "COSINE", {"M": 8, "efConstruction": 64})
        },
    )


def strange_keys():
    base = [
        "",
        " ",
        "  ",
        "a",
        "A",
        "a ",
        " a",
        "hello\n\nworld\n\n\nhello there",
        "tab\there",
        "cr\r\nlf",
        '{"name":"张三","school":"北大"}',
        "['a','b']",
        "'",
        '"',
        "''",
        '""',
        "\\",
        "\\\\",
        "\\n",
        '\\"',
        "a'b\"c\\d",
        "12528c68-1904-43c0-b918-f64d7f64629c_6",
        "448526226933733731",
        "-1",
        "1e5",
        "NULL",
        "null",
        "true",
        'id > ""',
        "%",
        "_%",
        "${id}",
        "{id}",
        "`",
        "é",
        "e\u0301",
        "ß",
        "ſ",
        "İ",
        "ｆｕｌｌ",
        "\u00a0",
        "\u200b",
        "\ufeff",
        "\u202eabc",
        "\ud7ff",
        "\ue000",
        "\uffff",
        "\U00010000",
        "\U0010ffff",
        "🚢",
        "👩‍👩‍👧",
        "\x01",
        "\x1f",
        "\x7f",
        "\u0085",
        "\u2028",
        "x" * 65535,
        "x" * 65534 + "y",
        "字" * 21845,
        "字" * 21844 + "abc",
    ]
    base += (
        ["https://example.com/" + "p/" * 40 + "page?id=%d" % i for i in range(150)]
        + ["k%d" % i for i in range(300)]
        + ["%05d" % i for i in range(300)]
    )
    return list(dict.fromkeys(base))


@case("c21_strange_keys", "2.3.5", "2.5.1", "3.2.2")
def c21(s, r):
    n = s.make(
        "c21_strange_keys",
        [
            ("doc_text", D.VARCHAR, dict(max_length=65535, **PK)),
            ("doc_vector", D.FLOAT_VECTOR, dict(dim=8)),
            ("n", D.INT64),
        ],
    )
    for i, k in enumerate(strange_keys()):
        s.maybe(
            f"key {k[:20]!r} of {len(k.encode())} bytes", s.put, n, [{"doc_text": k, "doc_vector": r.vec(8), "n": i}]
        ) if i < 64 else None
    s.put(n, [{"doc_text": k, "doc_vector": r.vec(8), "n": i} for i, k in enumerate(strange_keys()) if i >= 64])
    s.end(n, {"doc_vector": ("FLAT", "L2", {})})


@case("c22_reserved_names", "2.3.5", "2.5.1", "3.2.2")
def c22(s, r):
    fields = []
    for word in KEYWORDS + [
        "contains",
        "contains_any",
        "equals",
        "order",
        "group",
        "select",
        "figure",
        "timestamp",
        "rowid",
        "ts",
        "_id",
        "limit",
        "offset",
        "pk",
        "meta",
        "data",
        "value",
        "name",
        "type",
    ]:
        probe = "c22_probe"
        try:  # which names does this server take?
            s.drop(probe)
            sc = s.c().create_schema()
            sc.add_field("id", D.INT64, **PK)
            sc.add_field("v", D.FLOAT_VECTOR, dim=4)
            sc.add_field(word, D.INT64)
            s.c().create_collection(probe, schema=sc)
            fields.append(word)
        except Exception as e:
            s.note(f"no field named {word}: {short(e)}")
    s.drop("c22_probe")
    n = s.make(
        "c22_reserved_names",
        [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))] + [(w, D.INT64) for w in fields],
    )
    s.put(n, [{"id": i, "v": r.vec(4), **{w: i * 7 + j for j, w in enumerate(fields)}} for i in range(300)])
    s.end(n, {"v": ("FLAT", "L2", {})})


@case("c23_reserved_key", "2.3.5", "2.5.1", "3.2.2")
def c23(s, r):
    # no expression can name this key: to be copied all the same, or refused with the reason
    for word, kind in (("exists", D.INT64), ("like", D.VARCHAR)):
        extra = dict(max_length=64) if kind == D.VARCHAR else {}
        n = s.make(
            f"c23_key_{word}", [(word, kind, dict(**extra, **PK)), ("v", D.FLOAT_VECTOR, dict(dim=4)), ("n", D.INT64)]
        )
        s.put(n, [{word: i if kind == D.INT64 else f"k{i}", "v": r.vec(4), "n": i} for i in range(250)])
        s.end(n, {"v": ("FLAT", "L2", {})})


RAW_JSON = [
    "null",
    "true",
    "0",
    "-0",
    "-0.0",
    "1.0",
    "1",
    "1e3",
    "1E-7",
    "0.1",
    "0.30000000000000004",
    "9007199254740993",
    "-9223372036854775808",
    "9223372036854775807",
    "18446744073709551615",
    "12345678901234567890123",
    "1e308",
    "5e-324",
    '""',
    '"text"',
    '"\\u0000"',
    '"\\ud83d\\udea2"',
    '"\\/"',
    "[]",
    "{}",
    "[null]",
    "[[],{}]",
    '{"a":null}',
    '{"a":{}}',
    '{"":1}',
    '{ "spaced" : [ 1 , 2 ] }',
    '{"b":1,"a":2}',
    '{"a":1.0,"b":1}',
    '{"k":"\\u4e2d"}',
    '{"k":"中"}',
    '{"n":1e19}',
    '{"$meta":1}',
    '{"a.b":{"c[0]":1}}',
]


@case("c24_json_texts", "2.3.5", "2.5.1", "3.2.2")
def c24(s, r):
    # JSON sent as text, hence byte by byte as written: numbers that no double holds, order of keys, white space, null
    n = s.make("c24_json_texts", [("id", D.INT64, PK), ("j", D.JSON), ("v", D.FLOAT_VECTOR, dict(dim=4))])
    deep = '{"a":' * 60 + "1" + "}" * 60
    for i, text in enumerate(RAW_JSON + [deep, '{"long":"' + "x" * 60000 + '"}', '{"a":1,"a":2}']):
        s.maybe(f"JSON {text[:40]}", s.put, n, [{"id": i, "j": text, "v": r.vec(4)}])
    s.put(
        n,
        [{"id": 1000 + i, "j": json.dumps({"i": i, "f": i / 3, "t": r.text(3)}), "v": r.vec(4)} for i in range(300)],
    )
    s.end(n, {"v": ("FLAT", "L2", {})})


@case("c25_dynamic_values", "2.3.5", "2.5.1", "3.2.2")
def c25(s, r):
    n = s.make(
        "c25_dynamic_values",
        [("id", D.INT64, PK), ("vector", D.FLOAT_VECTOR, dict(dim=8)), ("title", D.VARCHAR, dict(max_length=200))],
        dynamic=True,
    )
    values = [
        None,
        True,
        0,
        -0.0,
        1.0,
        2**53 + 1,
        I63,
        -(2**63),
        2**64 - 1,
        1e300,
        5e-324,
        "",
        "1e5",
        "\u0000",
        [],
        {},
        [None],
        {"": None},
        {"a": {"b": [{"c": 2**60 + 1}]}},
        "x" * 30000,
    ]
    keys = [
        "k",
        "key with spaces",
        "点.分",
        'quote"d',
        "back\\slash",
        "",
        "UPPER",
        "upper",
        "0",
        "count(*)",
        "a[0]",
        "\n",
        "🚢",
        "k" * 500,
        "id2",
        "pk",
        "_id",
        "Vector",
    ]
    rows = []
    for i in range(600):
        row = {"id": i * 17 - 5000, "vector": r.vec(8), "title": r.text(3)}
        if i % 6:  # some rows have no dynamic value at all
            row[keys[i % len(keys)]] = values[i % len(values)]
            if i % 5 == 0:
                row[keys[(i * 7) % len(keys)]] = values[(i * 3) % len(values)]
        rows.append(row)
    for row in rows[:40]:
        s.maybe(f"dynamic {[k for k in row if k not in ('id', 'vector', 'title')]}", s.put, n, [row])
    for lo in range(40, 600, 20):
        s.maybe(f"rows {lo}", s.put, n, rows[lo : lo + 20])
    s.end(n, {"vector": ("FLAT", "L2", {})})


@case("c27_bytes_and_characters", "2.3.5", "2.5.1", "3.2.2")
def c27(s, r):
    n = s.make(
        "c27_bytes",
        [
            ("pk", D.INT64, PK),
            ("random", D.VARCHAR, dict(max_length=3)),
            ("words", D.VARCHAR, dict(max_length=12)),
            ("v", D.FLOAT_VECTOR, dict(dim=4)),
        ],
    )
    s.put(
        n,
        [
            {
                "pk": i,
                "random": ["字", "abc", "é", "", "ß1"][i % 5],
                "words": ["字字字字", "🚢🚢🚢", "x" * 12, "éééééé"][i % 4],
                "v": r.vec(4),
            }
            for i in range(300)
        ],
    )
    s.end(n, {"v": ("FLAT", "L2", {})})
    # within the limit by characters, beyond it by bytes: only lite takes them; no Milvus will
    n = s.make(
        "c27_more_bytes_than_milvus_takes",
        [("pk", D.INT64, PK), ("t", D.VARCHAR, dict(max_length=3)), ("v", D.FLOAT_VECTOR, dict(dim=4))],
    )
    s.put(n, [{"pk": i, "t": "abc", "v": r.vec(4)} for i in range(200)])
    s.maybe(
        "three characters of nine bytes in a VarChar of 3",
        s.put,
        n,
        [{"pk": 1000 + i, "t": "字字字", "v": r.vec(4)} for i in range(5)],
    )
    s.end(n, {"v": ("FLAT", "L2", {})})


@case("c28_arrays", "2.3.5", "2.5.1", "3.2.2")
def c28(s, r):
    kinds = [
        ("b", D.BOOL, lambda: r.random() < 0.5),
        ("i8", D.INT8, lambda: r.choice([-128, 127, 0])),
        ("i16", D.INT16, lambda: r.choice([-(2**15), 2**15 - 1])),
        ("i64", D.INT64, lambda: r.choice([I63, -(2**63), 2**53 + 1])),
        ("f", D.FLOAT, lambda: float(np.float32(r.choice([0.1, -0.0, 3.4e38, 1e-45])))),
        ("d", D.DOUBLE, lambda: r.choice([0.1, -0.0, 5e-324])),
        ("s", D.VARCHAR, lambda: r.choice(["", "字", '"', "\\", "a\nb"])),
    ]
    kept = []
    for f, t, _ in kinds:
        probe = "c28_probe"
        try:
            s.drop(probe)
            sc = s.c().create_schema()
            sc.add_field("id", D.INT64, **PK)
            sc.add_field("v", D.FLOAT_VECTOR, dim=4)
            sc.add_field(f, D.ARRAY, element_type=t, max_capacity=4, **({"max_length": 8} if t == D.VARCHAR else {}))
            s.c().create_collection(probe, schema=sc)
            kept.append((f, t, _))
        except Exception as e:
            s.note(f"no array of {t.name}: {short(e)}")
    s.drop("c28_probe")
    n = s.make(
        "c28_arrays",
        [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))]
        + [
            (f, D.ARRAY, dict(element_type=t, max_capacity=4096, **({"max_length": 8} if t == D.VARCHAR else {})))
            for f, t, _ in kept
        ],
    )
    rows = [
        {
            "id": i,
            "v": r.vec(4),
            **{f: [g() for _ in range([0, 1, 4, 0][(i + j) % 4])] for j, (f, _, g) in enumerate(kept)},
        }
        for i in range(300)
    ]
    rows += [
        {"id": 900, "v": r.vec(4), **{f: [g() for _ in range(4096)] for f, _, g in kept}},
        {"id": 901, "v": r.vec(4), **{f: [] for f, _, _ in kept}},
    ]
    s.put(n, rows, batch=100)
    s.end(n, {"v": ("FLAT", "L2", {})})


@case("c30_partition_keys", "2.3.5", "3.2.2")
def c30(s, r):
    for name, kind, parts, extra, values in (
        (
            "c30_by_text",
            D.VARCHAR,
            10,
            dict(max_length=64),
            ["", "租户", "a", "A", " "] + ["t%d" % i for i in range(60)],
        ),
        ("c30_by_number", D.INT64, 3, {}, [0, -1, I63, -(2**63)] + list(range(50))),
        ("c30_default_count", D.VARCHAR, None, dict(max_length=8), ["x", "y"]),
    ):
        kw = {"num_partitions": parts} if parts else {}
        n = s.make(
            name,
            [
                ("id", D.INT64, PK),
                ("tenant", kind, dict(is_partition_key=True, **extra)),
                ("v", D.FLOAT_VECTOR, dict(dim=8)),
            ],
            **kw,
        )
        s.put(n, [{"id": i, "tenant": values[i % len(values)], "v": r.vec(8)} for i in range(1000)])
        s.end(n, {"v": ("FLAT", "IP", {})})


@case("c31_partition_names", "2.3.5", "3.2.2")
def c31(s, r):
    n = s.make("c31_partition_names", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))])
    names = []
    for p in [
        "Alpha",
        "alpha",
        "ALPHA",
        "2024",
        "2024-01-01",
        "p-1",
        "p_1",
        "_p",
        "_default_2",
        "p.q",
        "分区",
        "p$1",
        "x" * 255,
        "p 1",
        "p/1",
    ] + ["many_%02d" % i for i in range(40)]:
        if s.maybe(f"partition {p[:20]!r}", lambda: (s.c().create_partition(n, p), True)):
            names.append(p)
    for i, p in enumerate(names):
        if i % 5 != 4:  # every fifth stays empty
            s.put(n, [{"id": i * 1000 + k, "v": r.vec(4)} for k in range(30)], partition=p)
    s.put(n, [{"id": 900000 + k, "v": r.vec(4)} for k in range(200)])
    s.end(n, {"v": ("FLAT", "L2", {})})
    if names:
        s.c().delete(n, ids=list(range(0, 30)), partition_name=names[0])  # a partition of deleted rows only
    if s.kind == "2.3.5" and len(names) > 3:
        n = s.make(
            "c31_one_key_in_two_partitions",
            [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4)), ("n", D.INT64)],
            partitions=["p1", "p2"],
        )
        s.put(n, [{"id": k, "v": r.vec(4), "n": 1} for k in range(200)], partition="p1")
        s.put(n, [{"id": k, "v": r.vec(4), "n": 2} for k in range(150, 350)], partition="p2")
        s.end(n, {"v": ("FLAT", "L2", {})})


@case("c32_databases_and_aliases", "2.3.5", "3.2.2")
def c32(s, r):
    for db in ("c32_db_a", "c32_DB_A", "c32_db_b"):
        s.maybe(f"database {db}", s.database, db)
    dbs = [d for d in s.c().list_databases() if d.startswith("c32_")]
    for j, db in enumerate(dbs):  # one name in each, other schemas; one alias in each
        n = s.make(
            "docs",
            [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4 + j)), *([("only_%d" % j, D.INT64)] if j else [])],
            db=db,
        )
        s.put(n, [{"id": i, "v": r.vec(4 + j), **({"only_%d" % j: i} if j else {})} for i in range(200 + j)], db=db)
        s.end(n, {"v": ("FLAT", ["L2", "IP", "COSINE"][j % 3], {})}, db=db)
        for a in aliases_of(s.c(db), n):
            s.c(db).drop_alias(a)
        for a in ("docs_live", "c32_prod", "c32_" + "a" * 200):
            s.maybe(f"alias {a[:20]} in {db}", s.c(db).create_alias, n, a)
    n = s.make("c32_blue", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))])
    g = s.make("c32_green", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))])
    for name in (n, g):
        s.put(name, [{"id": i, "v": r.vec(4)} for i in range(100)])
        s.end(name, {"v": ("FLAT", "L2", {})})
    s.c().create_alias(n, "c32_current")
    s.c().alter_alias(g, "c32_current")  # moved, as after a release
    s.c().create_alias(n, "c32_previous")


@case("c33_properties", "2.3.5", "3.2.2")
def c33(s, r):
    n = s.make(
        "c33_properties",
        [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))],
        properties={"collection.ttl.seconds": "86400000"},
    )
    s.put(n, [{"id": i, "v": r.vec(4)} for i in range(250)])
    s.end(n, {"v": ("FLAT", "L2", {})}, load=False)
    for k, v in (
        ("mmap.enabled", "true"),
        ("collection.insertRate.max.mb", "100"),
        ("partitionkey.isolation", "false"),
        ("lazyload.enabled", "false"),
        ("team.owner", '搜索 "x"'),
        ("dynamicfield.enabled", "false"),
        ("timezone", "Asia/Shanghai"),
        ("allow_insert_auto_id", "false"),
    ):
        s.maybe(f"property {k}", s.c().alter_collection_properties, n, properties={k: v})
    s.c().load_collection(n)


@case("c34_names", "2.3.5", "2.5.1", "3.2.2")
def c34(s, r):
    long_name = "c34_" + "N" * 251
    for name in (
        long_name,
        "c34_figure",
        "c34_Upper_lower_9",
        "c34_dollar$",
        "c34_dash-1",
        "c34_dot.name",
        "c34_名字",
    ):
        try:
            s.make(
                name,
                [
                    ("_id" if name != long_name else "f" * 255, D.INT64, PK),
                    ("V", D.FLOAT_VECTOR, dict(dim=4)),
                    ("v", D.INT64),
                ],
                desc="x" * 900 + ' "引用"\n',
            )
            s.put(name, [{("_id" if name != long_name else "f" * 255): i, "V": r.vec(4), "v": i} for i in range(200)])
            s.end(name, {"V": ("FLAT", "L2", {}, "an_index_name_" + "i" * 40)})
        except Exception as e:
            s.note(f"collection {name[:24]}: {short(e)}")
            s.made = [made for made in s.made if made[1] != name]


@case("c35_floats", "2.3.5", "2.5.1", "3.2.2")
def c35(s, r):
    n = s.make(
        "c35_floats", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=8)), ("f", D.FLOAT), ("d", D.DOUBLE)]
    )
    edge = [0.0, -0.0, 1.401298464324817e-45, -1.1754943508222875e-38, 3.4028234663852886e38, 0.1, 1 / 3]
    rows = [
        {
            "id": i,
            "v": [edge[(i + j) % 7] for j in range(8)] if i % 3 else r.vec(8),
            "f": edge[i % 7],
            "d": [5e-324, -0.0, 1.7976931348623157e308, 0.1, 2.0**53 + 2][i % 5],
        }
        for i in range(500)
    ]
    rows += [{"id": 10000 + i, "v": [0.0] * 8, "f": 0.0, "d": 0.0} for i in range(20)]  # zero vectors under COSINE
    s.put(n, rows)
    for k, (name, v) in enumerate(
        (
            ("vector NaN", dict(v=[math.nan] * 8)),
            ("vector inf", dict(v=[math.inf] + [0.0] * 7)),
            ("float NaN", dict(f=math.nan)),
            ("float inf", dict(f=-math.inf)),
            ("double NaN", dict(d=math.nan)),
            ("double inf", dict(d=math.inf)),
        )
    ):
        s.maybe(name, s.put, n, [{"id": 20000 + k, "v": r.vec(8), "f": 1.0, "d": 1.0, **v}])
    s.end(
        n,
        {
            "v": (
                "FLAT" if s.kind == "2.5.1" else "HNSW",
                "COSINE",
                {} if s.kind == "2.5.1" else {"M": 8, "efConstruction": 64},
            )
        },
    )


@case("c36_key_edges", "2.3.5", "2.5.1", "3.2.2")
def c36(s, r):
    n = s.make(
        "c36_key_edges",
        [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4)), ("t", D.VARCHAR, dict(max_length=30))],
    )
    keys = (
        [I63, I63 - 1, -(2**63), -(2**63) + 1, 0, -1, 1]
        + [2**53 + i for i in range(-50, 50)]
        + [448526226933733731 + i for i in range(300)]
        + [-1764288000000 - i * 3 for i in range(300)]
    )
    s.put(n, [{"id": k, "v": r.vec(4), "t": str(k)} for k in keys])
    s.end(n, {"v": ("FLAT", "L2", {})})


@case("c37_nothing_left", "2.3.5", "2.5.1", "3.2.2")
def c37(s, r):
    n = s.make("c37_all_deleted", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))])
    s.put(n, [{"id": i, "v": r.vec(4)} for i in range(500)])
    s.end(n, {"v": ("FLAT", "L2", {})})
    s.c().delete(n, filter="id >= 0")
    s.maybe("flush", s.c().flush, n)
    n = s.make(
        "c37_never_any",
        [("id", D.VARCHAR, dict(max_length=10, **PK)), ("v", D.FLOAT_VECTOR, dict(dim=4))],
        dynamic=True,
    )
    s.end(n, {"v": ("FLAT", "L2", {})}, load=False)
    n = s.make("c37_no_index", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))])


@case("c38_heavy_rows", "2.3.5", "3.2.2")
def c38(s, r):
    # few rows, many bytes: a page of 1000 does not fit into one message
    n = s.make(
        "c38_heavy_rows",
        [
            ("id", D.INT64, PK),
            ("v", D.FLOAT_VECTOR, dict(dim=64)),
            ("a", D.VARCHAR, dict(max_length=65535)),
            ("b", D.VARCHAR, dict(max_length=65535)),
            ("j", D.JSON),
        ],
        dynamic=True,
    )
    rows = [
        {
            "id": i,
            "v": r.vec(64),
            "a": ("字" * 21000 if i % 7 else ""),
            "b": "b%d" % i * 9000 if i % 5 else "x",
            "j": {"t": "j" * (50000 if i % 3 == 0 else 10)},
            "d": "d" * (60000 if i % 2 else 1),
        }
        for i in range(500)
    ]
    s.put(n, rows, batch=100)
    s.end(n, {"v": ("FLAT", "L2", {})})


@case("c39_many_fields", "2.3.5", "2.5.1", "3.2.2")
def c39(s, r):
    kinds = [D.INT64, D.VARCHAR, D.BOOL, D.FLOAT, D.DOUBLE, D.INT8, D.INT16, D.INT32, D.JSON]
    fields = (
        [("z_last_by_name", D.INT64, PK)]
        + [
            (f"col_{i:02d}_{'zyxwv'[i % 5]}", kinds[i % 9], dict(max_length=40) if kinds[i % 9] == D.VARCHAR else {})
            for i in range(60)
        ]
        + [("a_vector", D.FLOAT_VECTOR, dict(dim=8))]
    )
    n = s.make("c39_many_fields", fields, dynamic=True)
    value = {
        D.INT64: lambda i: i * 2**40,
        D.VARCHAR: lambda i: f"v{i}",
        D.BOOL: lambda i: i % 2 == 0,
        D.FLOAT: lambda i: i / 8,
        D.DOUBLE: lambda i: i / 3,
        D.INT8: lambda i: i % 256 - 128,
        D.INT16: lambda i: i - 200,
        D.INT32: lambda i: -i,
        D.JSON: lambda i: {"i": i},
    }
    s.put(
        n,
        [
            {
                "z_last_by_name": i,
                "a_vector": r.vec(8),
                **{f: value[t](i + j) for j, (f, t, *_) in enumerate(fields[1:-1])},
                "dyn": i,
            }
            for i in range(300)
        ],
        batch=100,
    )
    s.end(n, {"a_vector": ("FLAT", "L2", {})})


@case("c40_scalar_indexes", "2.3.5", "3.2.2")
def c40(s, r):
    types = [
        ("b", D.BOOL, {}),
        ("i8", D.INT8, {}),
        ("i64", D.INT64, {}),
        ("f", D.FLOAT, {}),
        ("d", D.DOUBLE, {}),
        ("s", D.VARCHAR, dict(max_length=60)),
        ("s2", D.VARCHAR, dict(max_length=60)),
        ("j", D.JSON, {}),
        ("a", D.ARRAY, dict(element_type=D.INT64, max_capacity=5)),
    ]
    n = s.make("c40_scalar_indexes", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))] + types)
    s.put(
        n,
        [
            {
                "id": i,
                "v": r.vec(4),
                "b": i % 2 == 0,
                "i8": i % 100,
                "i64": i,
                "f": i / 2,
                "d": i / 3,
                "s": f"s{i % 9}",
                "s2": r.text(2),
                "j": {"a": i, "b": {"c": f"x{i}"}},
                "a": [i, i + 1],
            }
            for i in range(600)
        ],
    )
    s.end(n, {"v": ("FLAT", "L2", {})}, load=False)
    for f, kind, params in (
        ("i64", "STL_SORT", None),
        ("f", "STL_SORT", None),
        ("s", "Trie", None),
        ("s2", "INVERTED", None),
        ("b", "INVERTED", None),
        ("i8", "BITMAP", None),
        ("d", "INVERTED", None),
        ("a", "INVERTED", None),
        ("j", "INVERTED", {"json_path": 'j["b"]["c"]', "json_cast_type": "varchar"}),
        ("j", "INVERTED", {"json_path": 'j["a"]', "json_cast_type": "double"}),
        ("id", "STL_SORT", None),
        ("s2", "NGRAM", {"min_gram": 2, "max_gram": 3}),
    ):
        s.maybe(
            f"{kind} on {f} {params or ''}",
            s.index,
            n,
            f,
            kind,
            None,
            params,
            f"by_{f}_{kind}_{'path' if params else ''}".lower(),
        )
    s.c().load_collection(n)


@case("c41_vector_indexes", "2.3.5", "3.2.2")
def c41(s, r):
    for name, kind, metric, params in (
        ("hnsw", "HNSW", "COSINE", {"M": 30, "efConstruction": 360}),
        ("ivfflat", "IVF_FLAT", "L2", {"nlist": 64}),
        ("ivfsq8", "IVF_SQ8", "IP", {"nlist": 64}),
        ("ivfpq", "IVF_PQ", "L2", {"nlist": 32, "m": 4, "nbits": 8}),
        ("scann", "SCANN", "L2", {"nlist": 32, "with_raw_data": True}),
        ("diskann", "DISKANN", "L2", {}),
        ("flat", "FLAT", "COSINE", {}),
        ("auto", "AUTOINDEX", "IP", {}),
    ):
        n = s.make(f"c41_{name}", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=16))])
        s.put(n, [{"id": i, "v": r.vec(16)} for i in range(400)])
        s.maybe(f"index {kind}", s.end, n, {"v": (kind, metric, params, f"idx_{name}")})
    if s.kind == "2.3.5" and s.maybe(
        "binary vectors",
        lambda: (s.make("c41_probe", [("id", D.INT64, PK), ("bv", D.BINARY_VECTOR, dict(dim=64))]), True),
    ):
        s.drop("c41_probe")
        s.made.remove(("default", "c41_probe"))
        for name, kind, metric in (
            ("hamming", "BIN_IVF_FLAT", "HAMMING"),
            ("jaccard", "BIN_FLAT", "JACCARD"),
            ("substructure", "BIN_FLAT", "SUBSTRUCTURE"),
            ("superstructure", "BIN_FLAT", "SUPERSTRUCTURE"),
        ):
            n = s.make(f"c41_bin_{name}", [("id", D.INT64, PK), ("bv", D.BINARY_VECTOR, dict(dim=64))])
            s.put(n, [{"id": i, "bv": r.np.bytes(8)} for i in range(300)])
            s.maybe(
                f"index {kind}/{metric}", s.end, n, {"bv": (kind, metric, {"nlist": 16} if "IVF" in kind else {})}
            )


@case("c42_auto_ids", "2.3.5", "2.5.1", "3.2.2")
def c42(s, r):
    def texts():
        n = s.make(
            "c42_auto_text_key",
            [
                ("id", D.VARCHAR, dict(max_length=100, auto_id=True, **PK)),
                ("name", D.VARCHAR, dict(max_length=500)),
                ("v", D.FLOAT_VECTOR, dict(dim=4)),
            ],
            auto_id=True,
            dynamic=True,
        )
        s.put(
            n, [{"name": f"n{i % 90}", "v": [float(i % 90)] * 4, "x": i % 3} for i in range(900)]
        )  # many rows are equal but for the key
        s.end(n, {"v": ("FLAT", "L2", {})})

    s.maybe("generated text keys", texts)
    n = s.make(
        "c42_auto_only_a_vector",
        [("pk", D.INT64, dict(auto_id=True, **PK)), ("vector", D.FLOAT_VECTOR, dict(dim=8))],
        auto_id=True,
        dynamic=True,
    )
    s.put(n, [{"vector": r.vec(8)} for _ in range(500)] + [{"vector": [1.0] * 8} for _ in range(50)])
    s.end(n, {"vector": ("FLAT", "COSINE", {})})


@case("c43_consistency_and_shards", "2.3.5")
def c43(s, r):
    for level, shards in (("Strong", 1), ("Session", 3), ("Bounded", 7), ("Eventually", 16)):
        n = s.make(
            f"c43_{level.lower()}_{shards}",
            [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))],
            consistency_level=level,
            num_shards=shards,
        )
        s.put(n, [{"id": i * 31, "v": r.vec(4)} for i in range(400)])
        s.end(n, {"v": ("FLAT", "L2", {})}, load=False)


@case("c44_without_a_vector", "2.3.5", "2.5.1", "3.2.2")
def c44(s, r):
    def make():
        n = s.make(
            "c44_without_a_vector",
            [
                ("key", D.VARCHAR, dict(max_length=20, **PK)),
                ("text", D.VARCHAR, dict(max_length=1000)),
                ("value", D.INT64),
            ],
            dynamic=True,
        )
        s.put(n, [{"key": f"k{i}", "text": r.text(4), "value": i, "d": i} for i in range(300)])
        s.end(n, load=False)
        s.maybe("loading it", s.c().load_collection, n)

    s.maybe("a collection without a vector", make)


@case("c50_sparse", "2.5.1", "3.2.2")
def c50(s, r):
    n = s.make(
        "c50_sparse",
        [
            ("id", D.INT64, PK),
            ("sp", D.SPARSE_FLOAT_VECTOR),
            *([("v", D.FLOAT_VECTOR, dict(dim=4))] if s.kind == "3.2.2" else []),
        ],
    )
    extra = lambda: {"v": r.vec(4)} if s.kind == "3.2.2" else {}
    odd = [
        {},
        {0: 0.0},
        {0: 1.0},
        {4294967294: 1.0},
        {7: 1e-38, 3: 3.4e38},
        {9: -1.5, 2: 0.25, 5: 0.0},
        {i: 0.5 for i in range(2000)},
        {r.randrange(2**32 - 1): r.random() for _ in range(300)},
        {1: 1e-45},
    ]
    for i, x in enumerate(odd):
        s.maybe(f"sparse {str(x)[:40]}", s.put, n, [{"id": i, "sp": x, **extra()}])
    s.put(
        n,
        [
            {"id": 100 + i, "sp": {r.randrange(30000): r.random() + 0.01 for _ in range(r.randint(1, 40))}, **extra()}
            for i in range(400)
        ],
    )
    # As another SDK may send it: indices that are not sorted.
    q = milvus_pb2.InsertRequest(collection_name=n, num_rows=1)
    q.fields_data.extend(
        [
            field("id", D.INT64, [99]),
            field("sp", D.SPARSE_FLOAT_VECTOR, [struct.pack("<IfIf", 50, 0.5, 3, 0.25)], 51),
            *([field("v", D.FLOAT_VECTOR, [r.vec(4)], 4)] if s.kind == "3.2.2" else []),
        ]
    )
    s.maybe("sparse with unsorted indices", s.raw, q)
    s.end(n, {"sp": ("SPARSE_INVERTED_INDEX", "IP", {}), **({"v": ("FLAT", "L2", {})} if s.kind == "3.2.2" else {})})


@case("c51_half_precision", "2.5.1")
def c51(s, r):
    def f16(vs):
        return np.array(vs, dtype=np.float16)

    n = s.make("c51_f16", [("id", D.INT64, PK), ("v", D.FLOAT16_VECTOR, dict(dim=8))])
    edge = [0.0, -0.0, 6e-8, 65504.0, -65504.0, 6.103515625e-05, 1 / 3, 1.0]
    s.put(n, [{"id": i, "v": f16([edge[(i + j) % 8] for j in range(8)] if i % 2 else r.vec(8))} for i in range(300)])
    s.end(n, {"v": ("FLAT", "L2", {})})
    n = s.make("c51_bf16", [("id", D.VARCHAR, dict(max_length=20, **PK)), ("v", D.BFLOAT16_VECTOR, dict(dim=8))])
    bits = [0x0000, 0x8000, 0x0001, 0x7F7F, 0xFF7F, 0x3EAB, 0x3F80, 0x0080]
    s.put(
        n, [{"id": f"b{i}", "v": struct.pack("<8H", *[bits[(i * 3 + j) % 8] for j in range(8)])} for i in range(300)]
    )
    s.end(n, {"v": ("FLAT", "L2", {})})
    n = s.make("c51_binary", [("id", D.INT64, PK), ("v", D.BINARY_VECTOR, dict(dim=128))])
    s.put(n, [{"id": i, "v": [b"\x00" * 16, b"\xff" * 16, r.np.bytes(16)][i % 3]} for i in range(300)])
    s.end(n, {"v": ("BIN_FLAT", "HAMMING", {})})


@case("c52_nulls_and_defaults", "3.2.2")
def c52(s, r):
    n = s.make(
        "c52_nulls",
        [
            ("id", D.INT64, PK),
            ("v", D.FLOAT_VECTOR, dict(dim=4)),
            ("nullableFid", D.DOUBLE, dict(nullable=True, default_value=10.0)),
            ("status", D.VARCHAR, dict(max_length=20, nullable=True, default_value="pending")),
            ("tag", D.VARCHAR, dict(max_length=20, nullable=True)),
            ("i32", D.INT32, dict(default_value=10)),
            ("flag", D.BOOL, dict(nullable=True, default_value=False)),
            ("j", D.JSON, dict(nullable=True)),
            ("empty", D.VARCHAR, dict(max_length=5, default_value="")),
            ("ai", D.ARRAY, dict(element_type=D.INT64, max_capacity=4, nullable=True)),
            ("always_null", D.INT64, dict(nullable=True)),
            ("never_null", D.INT64, dict(nullable=True)),
        ],
        dynamic=True,
    )
    rows = []
    for i in range(500):
        row = {
            "id": i,
            "v": r.vec(4),
            "never_null": i,
            "tag": [None, "", "null", "x"][i % 4],
            "j": [None, {}, {"a": None}, []][i % 4],
            "ai": [None, [], [1], [None] and [2, 3]][i % 4],
        }
        if i % 3 == 0:
            row.update(nullableFid=None, status=None, flag=None)
        elif i % 3 == 1:
            row.update(nullableFid=10.0, status="", flag=True, i32=-1, empty="x")
        rows.append(row)
    s.put(n, rows, batch=7)  # batches with no null, all null and mixed
    s.end(n, {"v": ("FLAT", "L2", {})})
    n = s.make(
        "c52_first_rows_null",
        [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4)), ("n", D.INT64, dict(nullable=True))],
    )
    s.put(n, [{"id": i, "v": r.vec(4), "n": None if i < 200 or i >= 400 else 0} for i in range(600)], batch=200)
    s.end(n, {"v": ("FLAT", "L2", {})})
    for name, extra, value, index in (
        ("dense", ("x", D.FLOAT_VECTOR, dict(dim=4, nullable=True)), lambda i: r.vec(4), ("FLAT", "L2", {})),
        (
            "sparse",
            ("x", D.SPARSE_FLOAT_VECTOR, dict(nullable=True)),
            lambda i: {i: 1.0},
            ("SPARSE_INVERTED_INDEX", "IP", {}),
        ),
    ):

        def vectors():
            n = s.make(f"c52_null_{name}_vectors", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4)), extra])
            s.put(n, [{"id": i, "v": r.vec(4), "x": None if i % 3 == 0 else value(i)} for i in range(200)])
            s.end(n, {"v": ("FLAT", "L2", {}), "x": index})

        before = list(s.made)
        if s.maybe(f"nullable {name} vectors", lambda: (vectors(), True)) is None:
            s.made[:] = before
            s.maybe("drop", s.drop, f"c52_null_{name}_vectors")


@case("c53_timestamptz", "3.2.2")
def c53(s, r):
    n = s.make(
        "c53_timestamptz",
        [
            ("id", D.INT64, PK),
            ("v", D.FLOAT_VECTOR, dict(dim=4)),
            ("at", D.TIMESTAMPTZ),
            ("maybe", D.TIMESTAMPTZ, dict(nullable=True)),
        ],
    )
    odd = [
        "2025-01-01T00:00:00+08:00",
        "2025-07-07T19:12:09Z",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z",
        "0001-01-02T00:00:00Z",
        "9999-12-30T23:59:59.999999Z",
        "2026-03-29T02:30:00+01:00",
        "2026-10-25T02:30:00+02:00",
        "2025-01-01T00:00:00.000001-11:30",
        "2024-02-29T12:00:00+14:00",
        "2025-01-01 00:00:00",
        "2025-01-01T00:00:00",
    ]
    for i, t in enumerate(odd):
        s.maybe(f"time {t}", s.put, n, [{"id": i, "v": r.vec(4), "at": t, "maybe": None if i % 2 else t}])
    s.put(
        n,
        [
            {
                "id": 100 + i,
                "v": r.vec(4),
                "at": f"2026-11-{i % 28 + 1:02d}T{i % 24:02d}:00:00.{i * 1000:06d}+05:45",
                "maybe": None,
            }
            for i in range(300)
        ],
    )
    s.end(n, {"v": ("FLAT", "L2", {})})

    def zoned():
        n = s.make(
            "c53_in_shanghai",
            [
                ("id", D.INT64, PK),
                ("v", D.FLOAT_VECTOR, dict(dim=4)),
                ("at", D.TIMESTAMPTZ, dict(nullable=True, default_value="2025-01-01T00:00:00+08:00")),
            ],
            properties={"timezone": "Asia/Shanghai"},
        )
        s.put(
            n,
            [{"id": i, "v": r.vec(4), "at": "2026-01-01T10:00:00"} for i in range(200)]
            + [{"id": 500 + i, "v": r.vec(4)} for i in range(20)],
        )
        s.end(n, {"v": ("FLAT", "L2", {})})

    before = list(s.made)
    if s.maybe("a collection's time zone with a default", lambda: (zoned(), True)) is None:
        s.made[:] = before


@case("c54_geometry", "3.2.2")
def c54(s, r):
    n = s.make(
        "c54_geometry",
        [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4)), ("geo", D.GEOMETRY, dict(nullable=True))],
    )
    odd = [
        "POINT (1 2)",
        "POINT(1 2)",
        "point (1 2)",
        "POINT (-0 0)",
        "POINT (116.39743 39.90872)",
        "POINT (0.1234567890123456 -0.9999999999999999)",
        "POINT (1e-300 1e300)",
        "POINT EMPTY",
        "LINESTRING (0 0, 1 1, 2 2)",
        "POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0), (2 2, 3 2, 3 3, 2 3, 2 2))",
        "MULTIPOINT ((0 0), (1 1))",
        "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))",
        "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))",
        "GEOMETRYCOLLECTION EMPTY",
        "POLYGON EMPTY",
        "POINT Z (1 2 3)",
        "POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))",
        "LINESTRING (180 90, -180 -90)",
    ]
    for i, g in enumerate(odd):
        s.maybe(f"geometry {g[:40]}", s.put, n, [{"id": i, "v": r.vec(4), "geo": g}])
    s.put(
        n,
        [
            {
                "id": 100 + i,
                "v": r.vec(4),
                "geo": None if i % 4 == 0 else f"POINT ({r.uniform(-180, 180)!r} {r.uniform(-90, 90)!r})",
            }
            for i in range(400)
        ],
    )
    s.end(n, {"v": ("FLAT", "L2", {})}, load=False)
    s.maybe("RTREE index", s.index, n, "geo", "RTREE")
    s.c().load_collection(n)


@case("c55_full_text", "3.2.2")
def c55(s, r):
    for name, params in (
        (
            "c55_standard",
            {"tokenizer": "standard", "filter": ["lowercase", {"type": "stop", "stop_words": ["of", "to", "的"]}]},
        ),
        ("c55_english", {"type": "english"}),
        ("c55_chinese", {"type": "chinese"}),
        ("c55_jieba", {"tokenizer": "jieba"}),
        ("c55_default", None),
    ):
        extra = {"analyzer_params": params} if params else {}

        def make():
            n = s.make(
                name,
                [
                    ("id", D.INT64, PK),
                    ("text", D.VARCHAR, dict(max_length=1000, enable_analyzer=True, enable_match=True, **extra)),
                    ("text_sparse_emb", D.SPARSE_FLOAT_VECTOR),
                    ("title", D.VARCHAR, dict(max_length=100, enable_analyzer=True)),
                    ("v", D.FLOAT_VECTOR, dict(dim=4)),
                ],
                functions=[
                    Function(
                        name="text_bm25_emb",
                        description="描述",
                        input_field_names=["text"],
                        output_field_names=["text_sparse_emb"],
                        function_type=FunctionType.BM25,
                    )
                ],
            )
            s.put(
                n,
                [
                    {
                        "id": i,
                        "text": ["", "...", "的 of to", r.text(15), "ＦＵＬＬ width", "C++ & naïve-résumé"][i % 6],
                        "title": r.text(2),
                        "v": r.vec(4),
                    }
                    for i in range(300)
                ],
            )
            s.end(
                n,
                {
                    "text_sparse_emb": ("SPARSE_INVERTED_INDEX", "BM25", {"bm25_k1": 1.5, "bm25_b": 0.75}),
                    "v": ("FLAT", "L2", {}),
                },
            )
            return True

        before = list(s.made)
        if s.maybe(f"analyzer {params}", make) is None:
            s.made[:] = before


@case("c56_field_added_later", "3.2.2")
def c56(s, r):
    n = s.make("c56_field_added_later", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))], dynamic=True)
    s.put(n, [{"id": i, "v": r.vec(4), "field_new": f"dynamic {i}", "other": i} for i in range(200)])
    s.end(n, {"v": ("FLAT", "L2", {})})
    s.maybe("adding a field", s.c().add_collection_field, n, "field_new", D.VARCHAR, max_length=50, nullable=True)
    s.maybe(
        "rows after it", s.put, n, [{"id": 1000 + i, "v": r.vec(4), "field_new": f"static {i}"} for i in range(50)]
    )


@case("c59_moved_to_another_partition", "2.3.5", "3.2.2")
def c59(s, r):
    # keys of one partition inserted again into another, after the first was flushed: milvus-lite 3.2.2 has them once as a whole, but shows the old rows in the old partition
    n = s.make(
        "c59_moved",
        [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4)), ("n", D.INT64)],
        partitions=["a_old", "b_new"],
    )
    row = lambda k, turn: {"id": k, "v": r.vec(4), "n": turn}
    s.put(n, [row(k, 1) for k in range(300)], partition="a_old")
    s.maybe("flush", s.c().flush, n)
    s.c().delete(n, ids=list(range(50)))
    s.maybe("flush", s.c().flush, n)
    s.put(n, [row(k, 2) for k in range(25)], partition="b_new")  # deleted before
    if s.kind == "3.2.2":
        s.put(n, [row(k, 2) for k in range(100, 150)], partition="b_new")  # not deleted: there an insert replaces
    s.end(n, {"v": ("FLAT", "L2", {})})


@case("c57_many_collections", "2.3.5", "3.2.2")
def c57(s, r):
    for i in range(40):
        n = s.make(f"c57_col_{i:03d}", [("id", D.INT64, PK), ("v", D.FLOAT_VECTOR, dict(dim=4))])
        s.put(n, [{"id": k, "v": r.vec(4)} for k in range(i)])
        s.end(n, {"v": ("FLAT", "L2", {})}, load=False, flush=False)


@case("c58_two_vectors", "3.2.2")
def c58(s, r):
    n = s.make(
        "c58_two_vectors",
        [
            ("id", D.INT64, PK),
            ("image", D.FLOAT_VECTOR, dict(dim=4)),
            ("text", D.FLOAT_VECTOR, dict(dim=12)),
            ("terms", D.SPARSE_FLOAT_VECTOR),
        ],
    )
    s.put(n, [{"id": i, "image": r.vec(4), "text": r.vec(12), "terms": {i: 1.0, i + 5: 0.5}} for i in range(300)])
    s.end(
        n,
        {
            "image": ("FLAT", "L2", {}),
            "text": ("HNSW", "COSINE", {"M": 8, "efConstruction": 64}),
            "terms": ("SPARSE_INVERTED_INDEX", "IP", {}),
        },
    )
