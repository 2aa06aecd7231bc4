"""Compares a collection of two servers: schema, indexes, aliases, partitions, properties, and every row bit by bit.

It shares no code with Vecferry. A difference is one whatever Vecferry says of it; what is no fault is noted: an index that
became AUTOINDEX of the same metric, JSON of other text and equal values, which of several rows of one key arrived.
"""

import collections
import json

import grpc
from google.protobuf.json_format import MessageToDict
from pymilvus.grpc_gen import common_pb2, schema_pb2

from reading import VARCHAR, Refused, quoted, reason
from values import Json

T = schema_pb2.DataType
VECTORS = {T.FloatVector, T.BinaryVector, T.Float16Vector, T.BFloat16Vector, T.SparseFloatVector, T.Int8Vector}
SHOWN = 4


class Found:
    """What the comparison of a collection found."""

    def __init__(self):
        self.rows, self.missing, self.differences, self.notes = 0, 0, [], []

    def differs(self, text):
        self.differences.append(text[:600])

    def notes_that(self, text):
        self.notes.append(text[:400])


def compare(source, target, db, name):
    """What became of a collection."""
    found = Found()
    here = source.describe(db, name)
    if not target.has(db, name):
        found.differs("it is missing on the target")
        return found
    there = target.describe(db, name)
    compare_schema(found, plain_schema(here), plain_schema(there))
    for what, left, right in (
        ("aliases", source.aliases(db, name, here), target.aliases(db, name, there)),
        ("partitions", source.partitions(db, name), target.partitions(db, name)),
        ("properties of the database", *[properties_of(side, db) for side in (source, target)]),
    ):
        if left != right:
            found.differs(f"{what}: {left} became {right}")
    compare_indexes(found, source.indexes(db, name), target.indexes(db, name), here.schema)
    try:
        for side in (source, target):
            side.load(db, name)
    except Refused as error:
        found.notes_that(f"only the number of its rows is compared: {reason(error)}")
        left, right = source.stored(db, name), target.stored(db, name)
        if left != right:
            found.differs(f"rows: {left} became {right}")
        found.rows = left or 0
        return found
    try:
        Rows(found, source, target, db, name, here.schema).compare()
    except (Refused, grpc.RpcError) as error:
        found.differs(f"its rows could not be compared: {reason(error)}")
    return found


# ------------------------------------------------------------------------------------------------------ schema, indexes
def pairs(key_values):
    return dict(sorted((pair.key, pair.value) for pair in key_values))


def properties_of(side, db):
    described = side.database(db)
    return pairs(described.properties) if described else None


def in_any_order(key, value):
    """milvus-lite 3.2.2 sorts the keys of this object when it reads a collection from its files."""
    return json.dumps(json.loads(value), sort_keys=True) if key == "analyzer_params" else value


def plain_schema(described):
    """What a user sees of a collection: everything but IDs and times."""
    schema = described.schema

    def plain_field(field):
        plain = MessageToDict(field)
        for key in ("fieldID", "state", "isDynamic"):
            plain.pop(key, None)
        parameters = {key: in_any_order(key, value) for key, value in pairs(field.type_params).items()}
        return plain | {"typeParams": parameters, "indexParams": pairs(field.index_params)}

    def plain_function(function):
        plain = MessageToDict(function)
        for key in ("id", "inputFieldIds", "outputFieldIds"):
            plain.pop(key, None)
        return plain | {"params": pairs(function.params)}

    return {
        "name": schema.name,
        "description": schema.description,
        "auto ID": schema.autoID,
        "dynamic field": schema.enable_dynamic_field,
        "order of fields": [field.name for field in schema.fields],
        "fields": {field.name: plain_field(field) for field in schema.fields},
        "functions": [plain_function(function) for function in schema.functions],
        "shards": described.shards_num,
        "consistency": common_pb2.ConsistencyLevel.Name(described.consistency_level),
        "number of partitions": described.num_partitions,
        "properties": pairs(described.properties),
    }


def compare_schema(found, here, there):
    fields, others = here.pop("fields"), there.pop("fields")
    for what, value in here.items():
        if value != there[what]:
            found.differs(f"{what}: {value!r} became {there[what]!r}")
    for name, field in fields.items():
        other = others.get(name, {})
        for key in sorted({*field, *other}):
            if other and field.get(key) != other.get(key):
                found.differs(f"field {name}, {key}: {field.get(key)!r} became {other.get(key)!r}")


def plain_index(index):
    parameters = pairs(index.params)
    inner = parameters.pop("params", None)
    if inner:
        parameters |= {key: str(value) for key, value in json.loads(inner).items()}
    return parameters


def compare_indexes(found, here, there, schema):
    vectors = {field.name for field in schema.fields if field.data_type in VECTORS}
    left, right = collections.defaultdict(list), collections.defaultdict(list)
    for side, indexes in ((left, here), (right, there)):
        for index in indexes:
            side[index.field_name].append((index.index_name, plain_index(index)))
    for field in sorted({*left, *right}):
        mine, theirs = sorted(left[field], key=str), sorted(right[field], key=str)
        if field in vectors and not mine:
            # Without any, the target could not be searched.
            found.notes_that(f"index of {field} on the target only: {theirs}")
        elif field in vectors and theirs and theirs[0][1].get("index_type") == "AUTOINDEX":
            (name, one), (other_name, other) = mine[0], theirs[0]
            if (name, one.get("metric_type")) != (other_name, other.get("metric_type")):
                found.differs(f"index of {field}: {mine} became {theirs}")
            if one.get("index_type") != "AUTOINDEX":
                found.notes_that(f"index of {field}: {one.get('index_type')} became AUTOINDEX")
        elif mine != theirs:
            found.differs(f"index of {field}: {mine} became {theirs}")


# ----------------------------------------------------------------------------------------------------------------- rows
def show(value):
    return value[:24].hex() if isinstance(value, bytes) else repr(value)[:100]


def some(keys):
    return ", ".join(show(key) for key in list(keys)[:SHOWN])


class Rows:
    """The rows of a collection on both servers."""

    def __init__(self, found, source, target, db, name, schema):
        self.found, self.source, self.target, self.db, self.name = found, source, target, db, name
        self.key = next(field for field in schema.fields if field.is_primary_key)
        self.fields = [field.name for field in schema.fields if not field.is_function_output]
        if schema.enable_dynamic_field:
            self.fields.append("$meta")
        keyed = any(field.is_partition_key for field in schema.fields)
        both = set(source.partitions(db, name)) & set(target.partitions(db, name))
        self.partitions = [None] if keyed or not both else sorted(both)

    def read(self, side, partition, count):
        return side.rows(self.db, self.name, self.key, self.fields, partition, count, self.found.notes)

    def compare(self):
        (whole, here), (other_whole, there) = [
            side.counts(self.db, self.name, self.partitions, self.key) for side in (self.source, self.target)
        ]
        read = {p: self.read(self.source, p, here[p]) for p in self.partitions}
        ghosts = set()
        if None in here.values():
            ghosts = self.compare_whole(read, whole, other_whole)
        total = 0
        for partition, rows in read.items():
            rows = {key: row for key, row in rows.items() if key not in ghosts}
            others = self.read(self.target, partition, there[partition])
            others = {key: row for key, row in others.items() if key not in ghosts}
            at = f"partition {partition}: " if partition and partition != "_default" else ""
            if self.key.autoID:
                self.compare_without_keys(at, rows, others)
            else:
                self.compare_partition(at, rows, others, partition, here[partition])
            count = there[partition]
            if count is not None and count != len(others) and not ghosts:
                same = count == here[partition] and len(rows) == len(others)
                (self.found.notes_that if same else self.found.differs)(
                    f"{at}the target counts {count} rows and shows {len(others)} keys"
                )
            self.found.rows += len(rows)
            total += len(others)
        self.found.rows += len(ghosts)
        if None in there.values() and other_whole != total and not ghosts:
            self.found.differs(f"the target counts {other_whole} rows, its partitions hold {total}")

    def compare_whole(self, read, count, other_count):
        """Where partitions show rows that are there no more, the collection as a whole decides. Returns these keys."""
        times = collections.Counter(key for rows in read.values() for key in rows)
        rows, others = self.read(self.source, None, count), self.read(self.target, None, other_count)
        ghosts = {key for key, number in times.items() if number > 1 or key not in rows}
        self.found.notes_that(f"{len(ghosts)} keys are in several partitions of the source, or in none of the whole")
        if not self.key.autoID and rows != others:
            differing = [key for key in {*rows, *others} if rows.get(key) != others.get(key)]
            self.found.differs(
                f"as a whole {len(rows)} rows became {len(others)}, {len(differing)} differ: {some(differing)}"
            )
        if count != other_count:
            self.found.differs(f"as a whole {count} rows are counted, {other_count} on the target")
        return ghosts

    def compare_without_keys(self, at, rows, others):
        """Generated keys may be others; each row is there as often as before."""
        left, right = [
            collections.Counter(
                tuple((field, row[field]) for field in self.fields if field != self.key.name) for row in side.values()
            )
            for side in (rows, others)
        ]
        if left != right:
            gone, come = left - right, right - left
            self.found.differs(f"{at}{gone.total()} rows are missing, {come.total()} are on the target only")

    def compare_partition(self, at, rows, others, partition, count):
        missing, extra = [key for key in rows if key not in others], [key for key in others if key not in rows]
        if missing:
            self.found.missing += len(missing)
            self.found.differs(f"{at}{len(missing)} of {len(rows)} rows are missing: {some(missing)}")
        if extra:
            self.found.differs(f"{at}{len(extra)} rows are on the target only: {some(extra)}")
        changed, repeated, texts = [], 0, 0
        for key, row in rows.items():
            other = others.get(key, row)
            if row != other:
                if count != len(rows) and self.is_repeated(partition, key):
                    repeated += 1
                else:
                    changed.append(key)
            elif any(isinstance(value, Json) and value.raw != other[field].raw for field, value in row.items()):
                texts += 1
        if repeated:
            self.found.notes_that(f"{at}{repeated} rows differ whose keys the source holds more than once")
        if texts:
            self.found.notes_that(f"{at}{texts} rows have JSON of other text and equal values")
        if changed:
            key = changed[0]
            values = {
                field: f"{show(rows[key][field])} became {show(others[key][field])}"
                for field in self.fields
                if rows[key][field] != others[key][field]
            }
            self.found.differs(f"{at}{len(changed)} of {len(rows)} rows differ; {show(key)}: {values}")

    def is_repeated(self, partition, key):
        literal = quoted(key) if self.key.data_type == VARCHAR else key
        return self.source.count(self.db, self.name, partition, f"{self.key.name} == {literal}") > 1
