//! The rows of a measurement.

use datacoord::wire::proto::{
    milvus::InsertRequest,
    schema::{CollectionSchema, DataType, JsonArray, StringArray, scalar_field},
};

use crate::kit::rpc;

/// Columns beside the integer key, segments, deletes.
#[derive(Debug, Clone)]
pub struct Shape {
    pub dim: usize,
    /// Bytes of a varchar; none if 0.
    pub text: usize,
    /// Bytes of a JSON document, about; none if 0.
    pub json: usize,
    /// Further integer columns.
    pub integers: usize,
    /// Rows of each segment.
    pub segments: Vec<usize>,
    /// Of a thousand rows so many are deleted.
    pub deleted: usize,
}

impl Shape {
    /// A key and a vector; a tenth of the rows deleted.
    pub fn vectors(dim: usize, segments: &[usize]) -> Self {
        Self { dim, text: 0, json: 0, integers: 0, segments: segments.to_vec(), deleted: 100 }
    }

    /// So many bytes in so many segments of 768-d vectors.
    pub fn of_bytes(bytes: usize, segments: usize) -> Self {
        let rows = bytes / (768 * 4 + 8) / segments;
        Self::vectors(768, &vec![rows; segments])
    }

    pub fn row_bytes(&self) -> usize {
        8 + self.dim * 4 + self.text + self.json + 8 * self.integers
    }

    pub fn rows(&self) -> usize {
        self.segments.iter().sum()
    }

    /// Keys to delete, spread evenly over all rows.
    pub fn doomed(&self) -> Vec<i64> {
        (0..self.rows() as i64).filter(|key| (key * 617) % 1000 < self.deleted as i64).collect()
    }

    pub fn schema(&self, name: &str) -> CollectionSchema {
        let mut fields = vec![rpc::id_field(), rpc::vector_field("vec", self.dim)];
        if self.text > 0 {
            fields.push(rpc::field("text", DataType::VarChar, &[("max_length", &self.text.to_string())]));
        }
        if self.json > 0 {
            fields.push(rpc::field("doc", DataType::Json, &[]));
        }
        fields.extend((0..self.integers).map(|n| rpc::field(&format!("n{n}"), DataType::Int64, &[])));
        rpc::schema(name, fields)
    }

    /// Rows with keys from `first`, and vectors that don't compress, as embeddings don't.
    pub fn insert(&self, name: &str, first: i64, rows: usize) -> InsertRequest {
        let mut noise = Noise(first as u64 ^ 0x9E37_79B9_7F4A_7C15);
        let floats = (0..rows * self.dim).map(|_| noise.float()).collect();
        let mut fields =
            vec![rpc::longs("id", (first..first + rows as i64).collect()), rpc::vectors("vec", self.dim, floats)];
        if self.text > 0 {
            let data = (0..rows).map(|_| noise.text(self.text)).collect();
            fields.push(rpc::scalars("text", DataType::VarChar, scalar_field::Data::StringData(StringArray { data })));
        }
        if self.json > 0 {
            let documents = (0..rows).map(|row| {
                let text = noise.text(self.json.saturating_sub(40));
                format!(r#"{{"id":{},"score":{},"text":"{text}"}}"#, first + row as i64, row % 100).into_bytes().into()
            });
            let data = scalar_field::Data::JsonData(JsonArray { data: documents.collect() });
            fields.push(rpc::scalars("doc", DataType::Json, data));
        }
        for n in 0..self.integers {
            let data = (0..rows).map(|_| (noise.next() % 100_000) as i64).collect();
            fields.push(rpc::longs(&format!("n{n}"), data));
        }
        rpc::insertion(name, rows, fields)
    }
}

struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    fn float(&mut self) -> f32 {
        (self.next() >> 16) as f32 / (1u64 << 24) as f32 - 0.5
    }

    /// Words of a small vocabulary: text compresses, but not to nothing.
    fn text(&mut self, bytes: usize) -> String {
        const WORDS: [&str; 16] = [
            "segment ", "binlog ", "channel ", "delta ", "vector ", "plan ", "merge ", "flush ", "row ", "key ",
            "log ", "query ", "index ", "shard ", "time ", "epoch ",
        ];
        let mut text = String::with_capacity(bytes + 8);
        while text.len() < bytes {
            text.push_str(WORDS[(self.next() % 16) as usize]);
            if self.next().is_multiple_of(4) {
                text.push_str(&(self.next() % 10_000).to_string());
            }
        }
        text.truncate(bytes);
        text
    }
}
