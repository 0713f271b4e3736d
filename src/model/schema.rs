//! Schemas: the field types of Milvus 2.3, and the Arrow type of each in memory.

use std::sync::Arc;

use arrow_schema::{DataType as Arrow, Field as ArrowField, Schema as ArrowSchema};
use serde::{Deserialize, Serialize};

use super::{DefaultValue, FieldId};

/// A field's type, with its Milvus number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(i32)]
pub enum DataType {
    Bool = 1,
    Int8 = 2,
    Int16 = 3,
    Int32 = 4,
    Int64 = 5,
    Float = 10,
    Double = 11,
    VarChar = 21,
    Array = 22,
    Json = 23,
    BinaryVector = 100,
    FloatVector = 101,
}

impl DataType {
    /// None for a type that Milvus 2.3 does not have.
    pub fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            1 => Self::Bool,
            2 => Self::Int8,
            3 => Self::Int16,
            4 => Self::Int32,
            5 => Self::Int64,
            10 => Self::Float,
            11 => Self::Double,
            21 => Self::VarChar,
            22 => Self::Array,
            23 => Self::Json,
            100 => Self::BinaryVector,
            101 => Self::FloatVector,
            _ => return None,
        })
    }

    pub fn number(self) -> i32 {
        self as i32
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Int8 => "Int8",
            Self::Int16 => "Int16",
            Self::Int32 => "Int32",
            Self::Int64 => "Int64",
            Self::Float => "Float",
            Self::Double => "Double",
            Self::VarChar => "VarChar",
            Self::Array => "Array",
            Self::Json => "JSON",
            Self::BinaryVector => "BinaryVector",
            Self::FloatVector => "FloatVector",
        }
    }

    pub fn is_vector(self) -> bool {
        matches!(self, Self::BinaryVector | Self::FloatVector)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub id: FieldId,
    pub name: String,
    pub description: String,
    pub data_type: DataType,
    /// Element type of an Array field.
    pub element_type: Option<DataType>,
    pub is_primary_key: bool,
    pub auto_id: bool,
    pub is_partition_key: bool,
    /// Clustering compaction divides rows by this field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_clustering_key: bool,
    /// This is the hidden JSON field `$meta`, which holds keys outside the schema.
    pub is_dynamic: bool,
    /// Dimension of a vector: numbers for float vectors, bits for binary ones.
    pub dim: Option<u32>,
    /// Bytes of a VarChar, or of each element of a VarChar array.
    pub max_length: Option<u32>,
    /// Elements of an Array.
    pub max_capacity: Option<u32>,
    /// As the client sent them; described unchanged.
    pub type_params: Vec<(String, String)>,
    pub index_params: Vec<(String, String)>,
    /// The value of rows that give none; only scalars have one. The primary key may have one, and then takes no rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<DefaultValue>,
}

impl Field {
    /// Arrow type of a column of this field, in memory and in binlogs: VarChar is Utf8; JSON and Array are Binary (an Array
    /// cell is a serialised `ScalarField` message); vectors are FixedSizeBinary of little-endian float32 or packed bits.
    pub fn arrow_type(&self) -> Arrow {
        match self.data_type {
            DataType::Bool => Arrow::Boolean,
            DataType::Int8 => Arrow::Int8,
            DataType::Int16 => Arrow::Int16,
            DataType::Int32 => Arrow::Int32,
            DataType::Int64 => Arrow::Int64,
            DataType::Float => Arrow::Float32,
            DataType::Double => Arrow::Float64,
            DataType::VarChar => Arrow::Utf8,
            DataType::Array | DataType::Json => Arrow::Binary,
            DataType::BinaryVector | DataType::FloatVector => Arrow::FixedSizeBinary(self.vector_bytes() as i32),
        }
    }

    /// Bytes of one vector; 0 for other types.
    pub fn vector_bytes(&self) -> usize {
        let dim = self.dim.unwrap_or(0) as usize;
        match self.data_type {
            DataType::FloatVector => dim * 4,
            DataType::BinaryVector => dim / 8,
            _ => 0,
        }
    }

    /// Name of the field's column in record batches: its id in decimal, which is unique and never changes.
    pub fn column_name(&self) -> String {
        self.id.to_string()
    }

    /// A field without parameters and without a role.
    pub fn new(id: FieldId, name: &str, data_type: DataType) -> Self {
        Self {
            id,
            name: name.to_owned(),
            description: String::new(),
            data_type,
            element_type: None,
            is_primary_key: false,
            auto_id: false,
            is_partition_key: false,
            is_clustering_key: false,
            is_dynamic: false,
            dim: None,
            max_length: None,
            max_capacity: None,
            type_params: Vec::new(),
            index_params: Vec::new(),
            default_value: None,
        }
    }
}

/// A collection's schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionSchema {
    pub name: String,
    pub description: String,
    pub enable_dynamic_field: bool,
    /// The user's fields in order of creation, then `$meta` if there is one. The two system fields are not listed.
    pub fields: Vec<Field>,
    /// Position of the primary key in `fields`. The builder of a schema checks it.
    pub primary: usize,
}

impl CollectionSchema {
    pub fn primary_key(&self) -> &Field {
        &self.fields[self.primary]
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    pub fn field_by_id(&self, id: FieldId) -> Option<&Field> {
        self.fields.iter().find(|f| f.id == id)
    }

    pub fn dynamic_field(&self) -> Option<&Field> {
        self.fields.iter().find(|f| f.is_dynamic)
    }

    pub fn partition_key(&self) -> Option<&Field> {
        self.fields.iter().find(|f| f.is_partition_key)
    }

    pub fn clustering_key(&self) -> Option<&Field> {
        self.fields.iter().find(|f| f.is_clustering_key)
    }

    /// All stored fields ascending by id: RowID (0), Timestamp (1), then the user's.
    pub fn stored_fields(&self) -> Vec<Field> {
        let mut fields = vec![
            Field::new(FieldId::ROW_ID, "RowID", DataType::Int64),
            Field::new(FieldId::TIMESTAMP, "Timestamp", DataType::Int64),
        ];
        fields.extend(self.fields.iter().cloned());
        fields.sort_by_key(|f| f.id);
        fields
    }

    /// Schema of this collection's record batches: one column per stored field, named and ordered by field id, never null.
    /// Timestamp is Int64 with the bits of the u64.
    pub fn arrow_schema(&self) -> Arc<ArrowSchema> {
        let columns: Vec<ArrowField> =
            self.stored_fields().iter().map(|f| ArrowField::new(f.column_name(), f.arrow_type(), false)).collect();
        Arc::new(ArrowSchema::new(columns))
    }
}
