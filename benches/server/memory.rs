//! The memory of other work: a flush, queries that read much more than they return, and many collections.

use std::time::Instant;

use anyhow::{Result, ensure};
use datacoord::wire::proto::{common::KeyValuePair, milvus::QueryRequest};

use crate::{
    MIB, Options,
    api::{Server, check},
    shape::Shape,
};

/// Collections of the case with many.
const COLLECTIONS: usize = 200;

impl Server {
    /// One flush of one segment of 110 MB, just below the size at which segments are sealed by themselves: seconds, and
    /// the memory that the server needed beside the rows, which it holds already.
    pub async fn flush_large(&self, options: &Options) -> Result<()> {
        let (name, shape) = ("bench_flush_large", Shape::of_bytes(110 * MIB, 1));
        self.create(name, &shape).await?;
        let mut taken = Vec::new();
        for round in 0..3 {
            for part in 0..4 {
                let rows = shape.rows() / 4;
                self.insert(name, &shape, ((round * 4 + part) * rows) as i64, rows).await?;
            }
            let before = self.memory_mb();
            self.forget_peak()?;
            taken.push(self.flush(name).await?);
            if let (Some((before, _)), Some((after, most))) = (before, self.memory_mb()) {
                options.report(&format!("flush_110MB_{round}_memory_before"), before, "MB");
                options.report(&format!("flush_110MB_{round}_more_meanwhile"), most - before, "MB");
                options.report(&format!("flush_110MB_{round}_memory_after"), after, "MB");
            }
        }
        taken.sort_by(f64::total_cmp);
        options.report("flush_110MB_median", taken[1] * 1000.0, "ms");
        self.drop(name).await
    }

    /// Reads over 512 MB in four segments with a tenth of the rows deleted: seconds and the most memory of each.
    pub async fn queries(&self, options: &Options) -> Result<()> {
        let (name, shape) = ("bench_query", Shape::of_bytes(512 * MIB, 4));
        let (rows, _) = self.fill(name, &shape).await?;
        let left = rows as usize - shape.doomed().len();
        let middle = rows / 2;
        let vectors = &["id", "vec"][..];
        for (figure, expr, limit, fields, expected) in [
            ("count", String::new(), None, &["count(*)"][..], 1),
            ("count_filtered", format!("id >= {middle}"), None, &["count(*)"], 1),
            ("1000_vectors", String::new(), Some(1000), vectors, 1000),
            ("16384_vectors", String::new(), Some(16_384), vectors, 16_384),
            ("all_keys", "id >= 0".to_owned(), None, &["id"], left),
        ] {
            let parameters = limit.map(|limit: usize| KeyValuePair { key: "limit".into(), value: limit.to_string() });
            let request = QueryRequest {
                collection_name: name.into(),
                expr,
                output_fields: fields.iter().map(|f| (*f).to_owned()).collect(),
                query_params: parameters.into_iter().collect(),
                ..Default::default()
            };
            let before = self.memory_mb();
            self.forget_peak()?;
            let begun = Instant::now();
            let answer = self.client().query(request).await?.into_inner();
            check(answer.status, figure)?;
            let seconds = begun.elapsed().as_secs_f64();
            let found = answer.fields_data.iter().filter_map(|f| f.field.as_ref()).map(length).min().unwrap_or(0);
            ensure!(found == expected, "{figure}: {found} rows, expected {expected}");
            options.report(&format!("query_512MB_{figure}"), seconds * 1000.0, "ms");
            if let (Some((before, _)), Some((_, most))) = (before, self.memory_mb()) {
                options.report(&format!("query_512MB_{figure}_more_memory"), most - before, "MB");
            }
        }
        self.drop(name).await
    }

    /// Many collections, each with two segments: each call's median, and the memory of all.
    pub async fn collections(&self, options: &Options) -> Result<()> {
        let shape = Shape::vectors(16, &[100, 100]);
        let (mut creating, mut flushing, mut compacting) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..COLLECTIONS {
            let name = format!("bench_collection_{number}");
            let begun = Instant::now();
            self.create(&name, &shape).await?;
            creating.push(begun.elapsed().as_secs_f64() * 1000.0);
            for round in 0..2 {
                self.insert(&name, &shape, round * 100, 100).await?;
                flushing.push(self.flush(&name).await? * 1000.0);
            }
        }
        for number in 0..COLLECTIONS {
            let begun = Instant::now();
            let job = self.start_compaction(&format!("bench_collection_{number}")).await?;
            self.wait_compacted(job).await?;
            compacting.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        for (figure, times) in [("create", &mut creating), ("flush", &mut flushing), ("compact", &mut compacting)] {
            times.sort_by(f64::total_cmp);
            options.report(&format!("collections_{COLLECTIONS}_{figure}_median"), times[times.len() / 2], "ms");
        }
        if let Some((now, _)) = self.memory_mb() {
            options.report(&format!("collections_{COLLECTIONS}_memory"), now, "MB");
        }
        for number in 0..COLLECTIONS {
            self.drop(&format!("bench_collection_{number}")).await?;
        }
        Ok(())
    }
}

/// Rows of a column of an answer; only of the kinds that are asked for.
fn length(field: &datacoord::wire::proto::schema::field_data::Field) -> usize {
    use datacoord::wire::proto::schema::{field_data::Field, scalar_field::Data, vector_field};
    match field {
        Field::Scalars(scalars) => match &scalars.data {
            Some(Data::LongData(longs)) => longs.data.len(),
            _ => 0,
        },
        Field::Vectors(vectors) => match &vectors.data {
            Some(vector_field::Data::FloatVector(floats)) => floats.data.len() / vectors.dim.max(1) as usize,
            _ => 0,
        },
    }
}
