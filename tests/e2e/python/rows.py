"""A collection with every field type of Milvus 2.3, and rows for it that reach the ends of their types."""

from helpers import vectors
from pymilvus import CollectionSchema, DataType, FieldSchema

DIM = 8

SCALARS = [
    FieldSchema("flag", DataType.BOOL),
    FieldSchema("tiny", DataType.INT8),
    FieldSchema("small", DataType.INT16),
    FieldSchema("middle", DataType.INT32),
    FieldSchema("big", DataType.INT64),
    FieldSchema("ratio", DataType.FLOAT),
    FieldSchema("exact", DataType.DOUBLE),
    FieldSchema("title", DataType.VARCHAR, max_length=200),
    FieldSchema("meta", DataType.JSON),
]
ARRAYS = [
    FieldSchema("flags", DataType.ARRAY, element_type=DataType.BOOL, max_capacity=8),
    FieldSchema("tinies", DataType.ARRAY, element_type=DataType.INT8, max_capacity=8),
    FieldSchema("smalls", DataType.ARRAY, element_type=DataType.INT16, max_capacity=8),
    FieldSchema("middles", DataType.ARRAY, element_type=DataType.INT32, max_capacity=8),
    FieldSchema("bigs", DataType.ARRAY, element_type=DataType.INT64, max_capacity=8),
    FieldSchema("ratios", DataType.ARRAY, element_type=DataType.FLOAT, max_capacity=8),
    FieldSchema("exacts", DataType.ARRAY, element_type=DataType.DOUBLE, max_capacity=8),
    FieldSchema("words", DataType.ARRAY, element_type=DataType.VARCHAR, max_length=20, max_capacity=8),
]


def all_types_schema():
    key = FieldSchema("id", DataType.INT64, is_primary=True)
    vector = FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM)
    return CollectionSchema([key, *SCALARS, *ARRAYS, vector], enable_dynamic_field=True)


def all_types_row(key):
    """Every third row has no dynamic fields."""
    sign = -1 if key % 2 else 1
    row = {
        "id": key,
        "flag": key % 2 == 0,
        "tiny": -128 if key % 2 else 127,
        "small": sign * 32000,
        "middle": -(2**31) if key % 2 else 2**31 - 1,
        "big": -(2**63) + abs(key) if key % 2 else 2**63 - 1 - abs(key),
        "ratio": sign * key / 4,
        "exact": sign * key / 3,
        "title": ["", "plain", "naïve “quoted”\n\t日本語 🐸 <&>"][key % 3],
        "meta": {"n": key, "nested": {"list": [1, "two", None, 2.5]}, "é": "ü", "big": 2**53 + 1},
        "flags": [True, False][: key % 3],
        "tinies": [-128, 127],
        "smalls": [-32768, 32767, key],
        "middles": [],
        "bigs": [-(2**63), 2**63 - 1, key],
        "ratios": [0.5, -0.25],
        "exacts": [key / 3],
        "words": ["", "日本", f"w{key}"],
        "vector": vectors([key], DIM)[0],
    }
    if key % 3:
        row.update(color=f"red{key}", pages=key * 100, tags=["a", key])
    return row
