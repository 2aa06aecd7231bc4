"""Collections as popular applications make them (README.md names the files of theirs that were read)."""

import json

from pymilvus import DataType as D
from pymilvus import Function, FunctionType

from seeding import DIM, PK, case, short


@case("c01_dify", "2.3.5", "2.5.1", "3.2.2")
def c01(s, r):
    n = f"c01_dify_Vector_index_{r.uuid().replace('-', '_')}_Node"
    s.make(
        n,
        [
            ("metadata", D.JSON, dict(max_length=65535)),
            ("page_content", D.VARCHAR, dict(max_length=65535, enable_analyzer=False)),
            ("id", D.INT64, dict(auto_id=True, **PK)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
        ],
        auto_id=True,
        consistency_level="Session",
    )
    dataset, rows = r.uuid(), []
    for i in range(1200):
        meta = {"doc_id": r.uuid(), "document_id": r.uuid(), "dataset_id": dataset, "doc_hash": r.hex(64)}
        if i % 3 == 0:
            meta.update(
                {
                    "doc_type": "image",
                    "source": "website",
                    "title": r.text(4),
                    "page": i,
                    "score": i / 7,
                    "uploader": None,
                    "upload_date": 1.7e9 + i,
                    "是否公开": True,
                }
            )
        rows.append(
            {
                "metadata": meta,
                "page_content": ["", r.text(60), '{"k": "v"}', "第一行\n第二行\t" + r.text(5), "字" * 21845][
                    i % 5 if i < 30 else 1
                ],
                "vector": r.vec(DIM),
            }
        )
    rows += rows[:40]  # the same segment embedded twice: equal rows, other keys
    s.put(n, rows)
    s.end(
        n,
        {"vector": ("HNSW", "IP", {"M": 8, "efConstruction": 64})}
        if s.kind != "2.5.1"
        else {"vector": ("FLAT", "IP", {})},
    )
    if s.kind == "3.2.2":  # MILVUS_ENABLE_HYBRID_SEARCH
        n = f"c01_dify_Vector_index_{r.uuid().replace('-', '_')}_Node"
        s.make(
            n,
            [
                ("metadata", D.JSON),
                ("page_content", D.VARCHAR, dict(max_length=65535, enable_analyzer=True)),
                ("id", D.INT64, dict(auto_id=True, **PK)),
                ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
                ("sparse_vector", D.SPARSE_FLOAT_VECTOR),
            ],
            auto_id=True,
            consistency_level="Session",
            functions=[
                Function(
                    name="text_bm25_emb",
                    input_field_names=["page_content"],
                    output_field_names=["sparse_vector"],
                    function_type=FunctionType.BM25,
                )
            ],
        )
        s.put(n, [x for x in rows if len(x["page_content"]) < 60000])
        s.end(
            n,
            {
                "vector": ("HNSW", "IP", {"M": 8, "efConstruction": 64}),
                "sparse_vector": ("SPARSE_INVERTED_INDEX", "BM25", {}),
            },
        )


@case("c02_langchain", "2.3.5", "2.5.1", "3.2.2")
def c02(s, r):
    n = s.make(
        "c02_LangChainCollection",
        [
            ("text", D.VARCHAR, dict(max_length=65535)),
            ("pk", D.INT64, dict(auto_id=True, **PK)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
            ("source", D.VARCHAR, dict(max_length=65535)),
            ("page", D.INT64),
            ("score", D.DOUBLE),
            ("draft", D.BOOL),
        ],
        auto_id=True,
        consistency_level="Session",
    )
    s.put(
        n,
        [
            {
                "text": r.text(40),
                "vector": r.vec(DIM),
                "source": r.choice(["a.pdf", "", 'C:\\docs\\b "x".pdf', "https://例え.jp/?q=1&r=%20"]),
                "page": i - 3,
                "score": [0.1, -0.0, 1e308, 5e-324][i % 4],
                "draft": i % 2 == 0,
            }
            for i in range(900)
        ],
    )
    s.end(n, {"vector": ("AUTOINDEX" if s.kind != "2.5.1" else "FLAT", "L2", {})})
    # ids given, enable_dynamic_field=True: metadata goes where it likes
    n = s.make(
        "c02_langchain_dynamic",
        [
            ("text", D.VARCHAR, dict(max_length=65535)),
            ("pk", D.VARCHAR, dict(max_length=65535, **PK)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
        ],
        dynamic=True,
        consistency_level="Session",
    )
    rows = []
    for i in range(700):
        row = {
            "text": r.text(30),
            "pk": [r.uuid(), f"doc/{i}.md#section-{i}", f"文档-{i}"][i % 3],
            "vector": r.vec(DIM),
        }
        row.update(
            [
                {"source": "x.md", "start_index": i},
                {"tags": ["a", "b", None], "loc": {"lines": {"from": i, "to": i + 9}}},
                {},
            ][i % 3]
        )
        rows.append(row)
    s.put(n, rows)
    s.end(n, {"vector": ("AUTOINDEX" if s.kind != "2.5.1" else "FLAT", "L2", {})})
    if (
        s.kind == "3.2.2"
    ):  # Milvus.from_documents(builtin_function=BM25BuiltInFunction(), vector_field=["dense", "sparse"])
        n = s.make(
            "c02_langchain_hybrid",
            [
                ("text", D.VARCHAR, dict(max_length=65535, enable_analyzer=True)),
                ("pk", D.INT64, dict(auto_id=True, **PK)),
                ("dense", D.FLOAT_VECTOR, dict(dim=DIM)),
                ("sparse", D.SPARSE_FLOAT_VECTOR),
            ],
            auto_id=True,
            dynamic=True,
            consistency_level="Session",
            functions=[
                Function(
                    name="bm25_function_" + r.hex(8),
                    input_field_names=["text"],
                    output_field_names=["sparse"],
                    function_type=FunctionType.BM25,
                )
            ],
        )
        s.put(
            n,
            [
                {
                    "text": r.text(30) if i % 50 else "",
                    "dense": r.vec(DIM),
                    "category": r.choice(["fiction", "nonfiction"]),
                }
                for i in range(500)
            ],
        )
        s.end(n, {"dense": ("AUTOINDEX", "COSINE", {}), "sparse": ("SPARSE_INVERTED_INDEX", "BM25", {})})


@case("c03_langchainjs", "2.3.5", "2.5.1", "3.2.2")
def c03(s, r):
    # n8n, Flowise and langchainjs: metadata columns first, each VarChar exactly as long as the longest value (bytes), numbers as Float
    texts = ["München", "Café au lait", "日本語テキスト", "plain ascii", "🚢🚢", ""] + [
        r.text(25) for _ in range(294)
    ]
    longest = max(len(t.encode()) for t in texts)
    locs = [json.dumps({"lines": {"from": i, "to": i + 12}}) for i in range(300)]
    wide = max(max(len(x) for x in locs), len("é" * 10) * 2)
    n = s.make(
        "c03_langchain_col_" + r.hex(8),
        [
            ("source", D.VARCHAR, dict(description="Metadata String field", max_length=20)),
            ("blobType", D.VARCHAR, dict(description="Metadata String field", max_length=20)),
            ("loc", D.VARCHAR, dict(description="Metadata JSON field", max_length=wide)),
            ("line", D.FLOAT, dict(description="Metadata Number field")),
            ("isNew", D.BOOL, dict(description="Metadata Boolean field")),
            ("langchain_primaryid", D.INT64, dict(auto_id=True, description="Primary key", **PK)),
            ("langchain_text", D.VARCHAR, dict(description="Text field", max_length=longest)),
            ("langchain_vector", D.FLOAT_VECTOR, dict(dim=DIM, description="Vector field")),
        ],
        auto_id=True,
    )
    s.put(
        n,
        [
            {
                "source": ["blob", "é" * 10, "x" * 20, ""][i % 4],
                "blobType": "application/json",
                "loc": locs[i],
                "line": [16777217.0, 0.1, -0.0, float(i)][i % 4],
                "isNew": bool(i & 1),
                "langchain_text": t,
                "langchain_vector": r.vec(DIM),
            }
            for i, t in enumerate(texts)
        ],
    )
    s.end(
        n,
        {"langchain_vector": ("HNSW", "L2", {"M": 8, "efConstruction": 64})}
        if s.kind != "2.5.1"
        else {"langchain_vector": ("FLAT", "L2", {})},
    )


@case("c04_llamaindex", "2.3.5", "2.5.1", "3.2.2")
def c04(s, r):
    def node(i):
        nid, doc = r.uuid(), r.uuid()
        content = {
            "id_": nid,
            "embedding": None,
            "metadata": {"file_name": f"报告 {i}.pdf", "file_size": 9007199254740993 + i},
            "excluded_embed_metadata_keys": [],
            "relationships": {"1": {"node_id": doc, "node_type": "4", "metadata": {}, "hash": r.hex(64)}},
            "text": "",
            "start_char_idx": i,
            "end_char_idx": None,
            "class_name": "TextNode",
        }
        return (
            nid,
            doc,
            {
                "file_name": f"报告 {i}.pdf",
                "file_size": 9007199254740993 + i,
                "_node_content": json.dumps(content, ensure_ascii=i % 2 == 0),
                "_node_type": "TextNode",
                "document_id": doc,
                "ref_doc_id": doc,
                "creation_date": "2026-11-28",
            },
        )

    n = s.make(
        "c04_llamacollection",
        [
            ("id", D.VARCHAR, dict(max_length=65535, **PK)),
            ("doc_id", D.VARCHAR, dict(max_length=65535)),
            ("text", D.VARCHAR, dict(max_length=65535)),
            ("embedding", D.FLOAT_VECTOR, dict(dim=DIM)),
        ],
        dynamic=True,
        consistency_level="Session",
    )
    rows = []
    for i in range(800):
        nid, doc, meta = node(i)
        rows.append({"id": nid, "doc_id": doc, "text": r.text(50), "embedding": r.vec(DIM), **meta})
    s.put(n, rows)
    s.end(n, {"embedding": ("FLAT", "IP", None, "embedding")})
    if s.kind == "3.2.2":
        n = s.make(
            "c04_llama_hybrid",
            [
                ("id", D.VARCHAR, dict(max_length=65535, **PK)),
                ("doc_id", D.VARCHAR, dict(max_length=65535)),
                (
                    "text",
                    D.VARCHAR,
                    dict(
                        max_length=65535,
                        enable_analyzer=True,
                        analyzer_params={"tokenizer": "standard", "filter": ["lowercase"]},
                        enable_match=True,
                    ),
                ),
                ("embedding", D.FLOAT_VECTOR, dict(dim=DIM)),
                ("sparse_embedding", D.SPARSE_FLOAT_VECTOR),
            ],
            dynamic=True,
            consistency_level="Session",
            functions=[
                Function(
                    name="bm25_" + r.hex(8),
                    input_field_names=["text"],
                    output_field_names=["sparse_embedding"],
                    function_type=FunctionType.BM25,
                )
            ],
        )
        s.put(n, rows[:400])
        s.end(
            n,
            {
                "embedding": ("FLAT", "IP", None, "embedding"),
                "sparse_embedding": ("SPARSE_INVERTED_INDEX", "BM25", None, "sparse_embedding"),
            },
        )


@case("c05_openwebui", "2.3.5", "2.5.1", "3.2.2")
def c05(s, r):
    n = s.make(
        "c05_open_webui_file_" + r.uuid().replace("-", "_"),
        [
            ("id", D.VARCHAR, dict(max_length=65535, **PK)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM, description="vector")),
            ("data", D.JSON, dict(description="data")),
            ("metadata", D.JSON, dict(description="metadata")),
        ],
        dynamic=True,
    )
    s.put(
        n,
        [
            {
                "id": r.uuid(),
                "vector": r.vec(DIM),
                "data": {"text": ["", r.text(60), 'q"\\\n\u2028'][i % 3]},
                "metadata": {
                    "name": "a.txt",
                    "hash": r.hex(64),
                    "start_index": i,
                    "embedding_config": json.dumps({"engine": "", "model": "m"}),
                    "file_id": r.uuid(),
                    "source": None,
                    "created_by": r.uuid(),
                    "headings": [],
                },
            }
            for i in range(1000)
        ],
    )
    s.end(
        n,
        {"vector": ("HNSW", "COSINE", {"M": 16, "efConstruction": 100})}
        if s.kind != "2.5.1"
        else {"vector": ("FLAT", "COSINE", {})},
    )
    if s.kind == "2.5.1":
        return
    n = s.make(
        "c05_open_webui_knowledge",
        [
            ("id", D.VARCHAR, dict(max_length=36, **PK)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
            ("text", D.VARCHAR, dict(max_length=65535)),
            ("metadata", D.JSON),
            ("resource_id", D.VARCHAR, dict(max_length=255)),
        ],
        desc="Shared collection for multi-tenancy",
    )
    s.put(
        n,
        [
            {
                "id": r.uuid(),
                "vector": r.vec(DIM),
                "text": r.text(40),
                "metadata": {"name": r.text(2), "n": i},
                "resource_id": f"user-memory-{i % 7}",
            }
            for i in range(1500)
        ],
    )
    s.end(n, {"vector": ("HNSW", "COSINE", {"M": 16, "efConstruction": 100})}, load=False)
    s.maybe("index of resource_id", s.index, n, "resource_id", "Trie" if s.kind == "2.3.5" else "INVERTED")
    s.c().load_collection(n)


@case("c06_springai", "2.3.5", "2.5.1", "3.2.2")
def c06(s, r):
    n = s.make(
        "c06_vector_store",
        [
            ("doc_id", D.VARCHAR, dict(max_length=36, **PK)),
            ("content", D.VARCHAR, dict(max_length=65535)),
            ("metadata", D.JSON),
            ("embedding", D.FLOAT_VECTOR, dict(dim=DIM)),
        ],
        desc="Spring AI Vector Store",
        consistency_level="Strong",
        **({"num_shards": 2} if s.kind == "2.3.5" else {}),
    )
    s.put(
        n,
        [
            {
                "doc_id": r.uuid(),
                "content": r.text(50),
                "metadata": [
                    {},
                    {"source": "x", "charset": "UTF-8", "distance": 0.30000001192092896},
                    {"bookId": 9223372036854775807, "ratio": 1e-7},
                ][i % 3],
                "embedding": r.unit(DIM),
            }
            for i in range(1100)
        ],
    )
    s.end(
        n,
        {"embedding": ("IVF_FLAT", "COSINE", {"nlist": 128})}
        if s.kind != "2.5.1"
        else {"embedding": ("FLAT", "COSINE", {})},
    )


@case("c07_haystack", "2.3.5", "2.5.1", "3.2.2")
def c07(s, r):
    n = s.make(
        "c07_HaystackCollection",
        [
            ("text", D.VARCHAR, dict(max_length=65535)),
            ("id", D.VARCHAR, dict(max_length=65535, **PK)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
        ],
        dynamic=True,
        consistency_level="Session",
    )
    s.put(
        n,
        [
            {
                "text": r.text(50),
                "id": r.hex(64),
                "vector": r.vec(DIM),
                "dataframe": None,
                "blob": None,
                "score": None,
                "meta": {"split_id": i},
                "split_idx_start": i * 10,
                "_split_overlap": [],
            }
            for i in range(800)
        ],
    )
    s.end(n, {"vector": ("AUTOINDEX" if s.kind != "2.5.1" else "FLAT", "L2", {})})


@case("c08_mem0", "2.3.5", "2.5.1", "3.2.2")
def c08(s, r):
    rows = [
        {
            "id": r.uuid(),
            "vectors": r.vec(DIM),
            "metadata": {
                "data": r.text(12),
                "hash": r.hex(32),
                "user_id": f"user{i % 5}",
                "created_at": "2026-11-28T00:00:00.123456-08:00",
                "updated_at": None,
                "actor_id": r.choice([None, "bot"]),
                "text_lemmatized": r.text(6),
            },
        }
        for i in range(600)
    ]
    n = s.make(
        "c08_mem0",
        [
            ("id", D.VARCHAR, dict(max_length=512, **PK)),
            ("vectors", D.FLOAT_VECTOR, dict(dim=DIM)),
            ("metadata", D.JSON),
        ],
        dynamic=True,
    )
    s.put(n, rows)
    s.end(n, {"vectors": ("AUTOINDEX" if s.kind != "2.5.1" else "FLAT", "L2", {}, "vector_index")})
    if s.kind == "3.2.2":
        n = s.make(
            "c08_mem0_v3",
            [
                ("id", D.VARCHAR, dict(max_length=512, **PK)),
                ("vectors", D.FLOAT_VECTOR, dict(dim=DIM)),
                ("metadata", D.JSON),
                ("text", D.VARCHAR, dict(max_length=65535, enable_analyzer=True)),
                ("sparse", D.SPARSE_FLOAT_VECTOR),
            ],
            dynamic=True,
            functions=[
                Function(
                    name="bm25",
                    input_field_names=["text"],
                    output_field_names=["sparse"],
                    function_type=FunctionType.BM25,
                )
            ],
        )
        s.put(n, [{**x, "text": x["metadata"]["text_lemmatized"] if i % 20 else ""} for i, x in enumerate(rows)])
        s.end(
            n,
            {
                "vectors": ("AUTOINDEX", "COSINE", {}, "vector_index"),
                "sparse": ("SPARSE_INVERTED_INDEX", "BM25", None, "sparse_index"),
            },
        )


@case("c09_fastgpt", "2.3.5", "2.5.1", "3.2.2")
def c09(s, r):
    fields = [
        ("id", D.INT64, PK),
        ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
        ("teamId", D.VARCHAR, dict(max_length=64)),
        ("datasetId", D.VARCHAR, dict(max_length=64)),
        ("collectionId", D.VARCHAR, dict(max_length=64)),
        ("createTime", D.INT64),
    ]
    rows = [
        {
            "id": int(str(r.randint(1, 8)) + "%015d" % r.randrange(10**15)),
            "vector": r.vec(DIM),
            "teamId": r.hex(24),
            "datasetId": r.hex(24),
            "collectionId": r.hex(24),
            "createTime": 1764288000000 + i,
        }
        for i in range(900)
    ]
    n = s.make("c09_modeldata", fields, dynamic=True, desc="Store dataset vector")
    s.put(n, [{**x, **({"columnDesIndex": "0"} if i % 4 == 0 else {})} for i, x in enumerate(rows)])
    s.end(
        n,
        {"vector": ("HNSW", "IP", {"efConstruction": 64, "M": 32}, "vector_HNSW")}
        if s.kind != "2.5.1"
        else {"vector": ("FLAT", "IP", {}, "vector_HNSW")},
        load=False,
    )
    if s.kind != "2.5.1":
        for f, kind in (
            ("teamId", "Trie"),
            ("datasetId", "Trie"),
            ("collectionId", "Trie"),
            ("createTime", "STL_SORT"),
        ):
            s.maybe(f"index of {f}", s.index, n, f, kind if s.kind == "2.3.5" else "INVERTED")
    s.c().load_collection(n)
    if s.kind == "3.2.2":  # Milvus 2.6: BM25 over a nullable text, nullable JSON, an analyzer that picks by language
        multi = {
            "tokenizer": {
                "type": "language_identifier",
                "identifier": "whatlang",
                "analyzers": {
                    "default": {"tokenizer": "standard"},
                    "English": {"type": "english"},
                    "Mandarin": {"tokenizer": "jieba"},
                },
            }
        }
        for params in (multi, {"tokenizer": "standard"}):
            try:
                n = s.make(
                    "c09_modeldata_bm25",
                    fields
                    + [
                        (
                            "text",
                            D.VARCHAR,
                            dict(
                                max_length=65535,
                                enable_analyzer=True,
                                enable_match=True,
                                analyzer_params=params,
                                nullable=True,
                            ),
                        ),
                        ("sparse", D.SPARSE_FLOAT_VECTOR),
                        ("metadata", D.JSON, dict(nullable=True)),
                    ],
                    dynamic=True,
                    desc="Store dataset vector",
                    functions=[
                        Function(
                            name="text_bm25_emb",
                            input_field_names=["text"],
                            output_field_names=["sparse"],
                            function_type=FunctionType.BM25,
                            params={},
                        )
                    ],
                )
                break
            except Exception as e:
                s.note(f"analyzer {json.dumps(params)[:60]}: {short(e)}")
        kept = [
            {**x, "text": [r.text(20), "中文全文检索测试", ""][i % 3], "metadata": [{}, {"a": None}, None][i % 3]}
            for i, x in enumerate(rows)
        ]
        s.put(n, kept[:800])
        s.maybe("null text in front of BM25", s.put, n, [{**x, "text": None} for x in kept[800:]])
        s.end(
            n,
            {
                "vector": ("HNSW", "IP", {"efConstruction": 64, "M": 32}, "vector_HNSW"),
                "sparse": (
                    "SPARSE_INVERTED_INDEX",
                    "BM25",
                    {"inverted_index_algo": "DAAT_MAXSCORE", "bm25_k1": 1.2, "bm25_b": 0.75},
                    "sparse_bm25",
                ),
            },
        )


@case("c10_anythingllm", "2.3.5", "2.5.1", "3.2.2")
def c10(s, r):
    n = s.make(
        "c10_anythingllm_my_workspace_1",
        [
            ("id", D.VARCHAR, dict(max_length=255, description="id", **PK)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM, description="vector")),
            ("metadata", D.JSON, dict(description="metadata")),
        ],
    )
    s.put(
        n,
        [
            {
                "id": r.uuid(),
                "vector": r.vec(DIM),
                "metadata": {
                    "url": "file:///a b.txt",
                    "title": r.text(3),
                    "docAuthor": "no author found",
                    "published": "11/28/2026, 1:00:00 AM",
                    "wordCount": i,
                    "token_count_estimate": i * 1.3,
                    "text": "<document_metadata>\nsourceDocument: x\n</document_metadata>\n\n" + r.text(30),
                },
            }
            for i in range(700)
        ],
    )
    s.end(n, {"vector": ("AUTOINDEX" if s.kind != "2.5.1" else "FLAT", "COSINE", {})})


@case("c11_lightrag", "2.3.5", "3.2.2")
def c11(s, r):
    nullable = dict(nullable=True) if s.kind == "3.2.2" else {}
    for space, extra in (
        ("entities", ["entity_name", "content", "source_id"]),
        ("relationships", ["src_id", "tgt_id", "content"]),
        ("chunks", ["full_doc_id", "content"]),
    ):
        n = s.make(
            f"c11_lightrag_{space}",
            [
                ("id", D.VARCHAR, dict(max_length=64, **PK)),
                ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
                ("created_at", D.INT64),
            ]
            + [(f, D.VARCHAR, dict(max_length=65535 if f == "content" else 512, **nullable)) for f in extra]
            + [("file_path", D.VARCHAR, dict(max_length=32768, **nullable))],
            dynamic=True,
            desc=f"LightRAG {space} vector storage",
        )
        rows = []
        for i in range(400):
            row = {
                "id": ["ent-", "rel-", "chunk-"][i % 3] + r.hex(32),
                "vector": r.vec(DIM),
                "created_at": 1764288000 + i,
                "file_path": r.choice(["unknown_source", "a<SEP>b", "文件.md"]),
            }
            for f in extra:
                row[f] = (
                    None
                    if nullable and i % (3 + len(f) % 4) == 0
                    else r.text(6)
                    if f != "source_id"
                    else "chunk-" + r.hex(32)
                )
            if i % 2:
                row["workspace"] = "w" * (i % 9)
            rows.append(row)
        s.put(n, rows)
        s.end(n, {"vector": ("HNSW", "COSINE", {"M": 16, "efConstruction": 256})}, load=False)
        for f in extra:
            if f in ("entity_name", "src_id", "tgt_id", "full_doc_id"):
                s.maybe(f"INVERTED index of {f}", s.index, n, f, "INVERTED")
        s.c().load_collection(n)


@case("c12_claude_context", "2.3.5", "2.5.1", "3.2.2")
def c12(s, r):
    hybrid = s.kind == "3.2.2"
    vector, content = (
        ("vector", D.FLOAT_VECTOR, dict(dim=DIM, description="Dense vector embedding")),
        (
            "content",
            D.VARCHAR,
            dict(max_length=65535, description="Document content", **({"enable_analyzer": True} if hybrid else {})),
        ),
    )
    n = s.make(
        ("c12_hybrid_code_chunks_" if hybrid else "c12_code_chunks_") + r.hex(8),
        [
            ("id", D.VARCHAR, dict(max_length=512, description="Document ID", **PK)),
            *([content, vector, ("sparse_vector", D.SPARSE_FLOAT_VECTOR)] if hybrid else [vector, content]),
            ("relativePath", D.VARCHAR, dict(max_length=1024)),
            ("startLine", D.INT64),
            ("endLine", D.INT64),
            ("fileExtension", D.VARCHAR, dict(max_length=32)),
            (
                "metadata",
                D.VARCHAR,
                dict(max_length=65535, description="Additional document metadata as JSON string"),
            ),
        ],
        desc="codebasePath:/home/user/repo",
        functions=[
            Function(
                name="content_bm25_emb",
                description="content bm25 function",
                input_field_names=["content"],
                output_field_names=["sparse_vector"],
                function_type=FunctionType.BM25,
                params={},
            )
        ]
        if hybrid
        else (),
    )
    code = [
        "def f(x):\n\treturn {'a': \"b\\n\"}\n",
        "SELECT * FROM t WHERE a LIKE '%\\_%';",
        "let s = `${x}`; // 注释\r\n",
        '<a href="x">&amp;</a>',
        "",
        "\\d+\\.\\d*",
    ]
    s.put(
        n,
        [
            {
                "id": "chunk_" + r.hex(16),
                "content": code[i % 6] + (r.text(9) if i % 2 else ""),
                "vector": r.vec(DIM),
                "relativePath": f"src\\dir/{i}.rs",
                "startLine": i,
                "endLine": i + 30,
                "fileExtension": ".rs",
                "metadata": [
                    '{"key": "value"}',
                    '{"n": 1.0, "n2": 12345678901234567890}',
                    "null",
                    "[]",
                    "",
                    '{"unclosed": ',
                    '"text"',
                    "123",
                ][i % 8],
            }
            for i in range(800)
        ],
    )
    s.end(
        n,
        {
            "vector": ("AUTOINDEX" if s.kind != "2.5.1" else "FLAT", "COSINE", {}, "vector_index"),
            **({"sparse_vector": ("SPARSE_INVERTED_INDEX", "BM25", None, "sparse_vector_index")} if hybrid else {}),
        },
    )


@case("c13_agno", "2.3.5", "3.2.2")
def c13(s, r):
    n = s.make(
        "c13_agno_recipes",
        [
            ("id", D.VARCHAR, dict(max_length=65535, **PK)),
            ("user_id", D.VARCHAR, dict(max_length=256)),
            ("vector", D.FLOAT_VECTOR, dict(dim=DIM)),
        ],
        dynamic=True,
    )
    s.put(
        n,
        [
            {
                "id": r.hex(32),
                "user_id": ["", "u1", "用户"][i % 3],
                "vector": r.vec(DIM),
                "name": "ThaiRecipes",
                "meta_data": {"page": i},
                "content": r.text(30),
                "usage": None,
                "content_id": r.hex(8),
            }
            for i in range(500)
        ],
    )
    s.end(n, {"vector": ("AUTOINDEX", "COSINE", {}, "vector")}, load=False)
    s.maybe("INVERTED index of user_id", s.index, n, "user_id", "INVERTED", None, None, "user_id_index")
    s.c().load_collection(n)
    if s.kind == "3.2.2":
        n = s.make(
            "c13_agno_hybrid",
            [("id", D.VARCHAR, dict(max_length=128, **PK))]
            + [
                (f, D.VARCHAR, dict(max_length=m))
                for f, m in (
                    ("name", 1000),
                    ("content", 65535),
                    ("content_id", 1000),
                    ("content_hash", 1000),
                    ("text", 65535),
                    ("meta_data", 65535),
                    ("usage", 65535),
                    ("user_id", 256),
                )
            ]
            + [("dense_vector", D.FLOAT_VECTOR, dict(dim=DIM)), ("sparse_vector", D.SPARSE_FLOAT_VECTOR)],
            dynamic=True,
        )
        s.put(
            n,
            [
                {
                    "id": r.hex(32),
                    **{f: r.text(5) for f in ("name", "content", "content_id", "content_hash", "text")},
                    "meta_data": "{}",
                    "usage": "{}",
                    "user_id": "",
                    "dense_vector": r.vec(DIM),
                    "sparse_vector": {r.randrange(2**31): r.random() for _ in range(r.randint(1, 20))},
                }
                for i in range(300)
            ],
        )
        s.end(
            n,
            {
                "dense_vector": ("IVF_FLAT", "COSINE", {"nlist": 128}, "dense_index"),
                "sparse_vector": ("SPARSE_INVERTED_INDEX", "IP", {"drop_ratio_build": 0.2}, "sparse_index"),
            },
        )
