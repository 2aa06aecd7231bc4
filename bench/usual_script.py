"""The script that users write today to move a collection: read with `query_iterator`, write with `insert`.

It is what `cargo xtask bench copy` compares with, so it does no more than such scripts do: no proof, no retry, no index.

usage: usual_script.py SOURCE_URI TARGET_URI COLLECTION    (credentials in SOURCE_TOKEN and TARGET_TOKEN)
"""

import json
import os
import sys

import pymilvus
from pymilvus import Collection, connections

BATCH_ROWS = 1000


def main() -> None:
    source_uri, target_uri, name = sys.argv[1:]
    connections.connect("source", uri=source_uri, token=os.environ.get("SOURCE_TOKEN", ""))
    connections.connect("target", uri=target_uri, token=os.environ.get("TARGET_TOKEN", ""))
    source = Collection(name, using="source")
    target = Collection(name, schema=source.schema, using="target", shards_num=1)

    fields = [field.name for field in source.schema.fields]
    iterator = source.query_iterator(batch_size=BATCH_ROWS, output_fields=fields)
    rows = 0
    while batch := iterator.next():
        target.insert([dict(row) for row in batch])
        rows += len(batch)
    iterator.close()
    target.flush()
    print(json.dumps({"rows": rows, "pymilvus": pymilvus.__version__}))


if __name__ == "__main__":
    main()
