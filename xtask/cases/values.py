"""Values of raw answers, exact: they compare by bits, JSON by what it holds."""

import json
import struct
from decimal import Decimal


def f32(x):
    return struct.pack("<f", x)


def f64(x):
    return struct.pack("<d", x)


def scalar_list(scalars):
    """(kind, values) of a ScalarField; values compare by bits."""
    kind = scalars.WhichOneof("data")
    if kind is None:
        return None, []
    data = getattr(scalars, kind)
    if kind == "array_data":
        return kind, [array_value(x) for x in data.data]
    values = list(data.data)
    if kind == "float_data":
        values = [f32(x) for x in values]
    elif kind == "double_data":
        values = [f64(x) for x in values]
    return kind, values


def array_value(x):
    kind, values = scalar_list(x)
    return ("array", tuple(values))


class Json:
    """JSON bytes; equal when the bytes or every value are: 1 and 1.0 differ, so do -0.0 and 0.0, big numbers are exact."""

    __slots__ = ("raw", "value")

    def __init__(self, raw):
        self.raw = bytes(raw)
        try:
            self.value = canonical(
                json.loads(
                    self.raw.decode("utf-8", "surrogateescape"),
                    parse_float=lambda s: ("f", f64(float(s)), number(s)),
                    parse_int=lambda s: ("i", s if s != "-0" else "-0"),
                    object_pairs_hook=Pairs,
                )
            )
        except ValueError:
            self.value = ("unparsable", self.raw)

    def __eq__(self, other):
        return isinstance(other, Json) and (self.raw == other.raw or self.value == other.value)

    def __hash__(self):
        return hash(repr(self.value))

    def __repr__(self):
        return "JSON " + repr(self.raw[:120])


class Pairs(list):
    pass


def number(s):
    """What a double cannot hold, so that it may not be lost unseen."""
    d = Decimal(s)
    return None if float(s) in (float("inf"), float("-inf")) or Decimal(repr(float(s))) == d else str(d.normalize())


def canonical(x):
    if isinstance(x, Pairs):
        return (
            "object",
            tuple(sorted((k, canonical(v)) for k, v in x))
            if all(isinstance(k, str) for k, _ in x) and len({k for k, _ in x}) == len(x)
            else tuple((k, canonical(v)) for k, v in x),
        )
    if isinstance(x, list):
        return ("list", tuple(canonical(v) for v in x))
    if isinstance(x, tuple):
        return tuple("" if v is None else v for v in x)
    return ("plain", repr(x))


def sparse(content):
    return ("sparse", tuple(sorted((content[i : i + 4], content[i + 4 : i + 8]) for i in range(0, len(content), 8))))


def values_of(data):
    """One value per row; None where null."""
    valid = list(data.valid_data)
    which = data.WhichOneof("field")
    if which == "vectors":
        v, kind = data.vectors, data.vectors.WhichOneof("data")
        if kind == "float_vector":
            flat = (
                struct.pack(f"<{len(v.float_vector.data)}f", *v.float_vector.data)
                if not hasattr(v.float_vector.data, "tobytes")
                else v.float_vector.data.tobytes()
            )
            width = v.dim * 4
        elif kind == "sparse_float_vector":
            got = [sparse(bytes(c)) for c in v.sparse_float_vector.contents]
            return place(got, valid, data)
        elif kind is None:
            return place([], valid, data)
        else:
            flat = bytes(getattr(v, kind)) if kind != "vector_array" else b""
            if kind == "vector_array":
                return place([x.SerializeToString(deterministic=True) for x in v.vector_array.data], valid, data)
            width = {
                "binary_vector": v.dim // 8,
                "float16_vector": v.dim * 2,
                "bfloat16_vector": v.dim * 2,
                "int8_vector": v.dim,
            }[kind]
        got = [flat[i : i + width] for i in range(0, len(flat), width)] if width else []
        return place(got, valid, data)
    if which == "struct_arrays":
        parts = {f.field_name.split("[")[-1].rstrip("]"): values_of(f) for f in data.struct_arrays.fields}
        rows = max([len(x) for x in parts.values()] + [0])
        return [("struct", tuple(sorted((k, repr(v[i])) for k, v in parts.items()))) for i in range(rows)]
    kind, got = scalar_list(data.scalars)
    if kind == "json_data":
        got = [Json(x) for x in got]
    return place(got, valid, data)


def place(got, valid, data):
    if not valid:
        return got
    if len(got) == len(valid):
        return [v if ok else None for v, ok in zip(got, valid)]
    if len(got) == sum(valid):
        it = iter(got)
        return [next(it) if ok else None for ok in valid]
    raise ValueError(f"field {data.field_name}: {len(got)} values for {len(valid)} rows, {sum(valid)} of them valid")


def columns(answer, fields):
    """{field: value of each row} of an answer."""
    table = {}
    for data in answer.fields_data:
        name = data.field_name or ("$meta" if data.is_dynamic else "")
        table["$meta" if data.is_dynamic else name] = values_of(data)
    rows = max([len(v) for v in table.values()] + [0])
    if not rows:
        return {f: [] for f in fields}
    for f in fields:
        if f not in table:
            raise ValueError(f"the answer lacks {f}")
        if len(table[f]) != rows:
            raise ValueError(f"{f}: {len(table[f])} values in an answer of {rows} rows")
    return {f: table[f] for f in fields}
