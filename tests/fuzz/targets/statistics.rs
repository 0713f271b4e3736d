//! Statistics logs: ranges of keys, and filters whose size the file states.

use datacoord::{
    binlog::{BinlogError, PkStats, PkStatsBuilder, decode_stats},
    model::{DataType, FieldId, PrimaryKey},
};

/// Whether the log is compound; the rest is the file.
pub(super) fn run(input: &[u8]) {
    let Some((first, file)) = input.split_first() else { return };
    let is_compound = first & 1 == 1;
    let stats = match decode_stats(file, is_compound) {
        Ok(stats) => stats,
        Err(BinlogError::Corrupt { offset, .. }) => return assert!(offset <= file.len() as u64),
        Err(error) => panic!("{error}"),
    };
    for entry in &stats {
        for key in [PrimaryKey::Int(0), PrimaryKey::Int(i64::MIN), PrimaryKey::Str("".into())] {
            entry.may_contain(&key);
        }
    }
    // A file without a range is written with one of zeros, which reads as a range: so compare from the second time on.
    let again = rewritten(&stats);
    assert_eq!(again, rewritten(&again));
    for (entry, again) in stats.iter().zip(&again) {
        assert_eq!((entry.field, entry.key_type, &entry.filter), (again.field, again.key_type, &again.filter));
        assert!(entry.range.is_none() || entry.range == again.range, "{:?}, {:?}", entry.range, again.range);
    }
}

fn rewritten(stats: &[PkStats]) -> Vec<PkStats> {
    decode_stats(&compound(stats), true).expect("a log of our own")
}

/// A list of entries, as Milvus writes it.
fn compound(stats: &[PkStats]) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = stats.iter().map(|entry| entry.encode().to_vec()).collect();
    [b"[", &entries.join(&b',')[..], b"]"].concat()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |key_type, keys: &[PrimaryKey]| {
        let mut builder = PkStatsBuilder::new(FieldId(100), key_type, keys.len() as u64, 0.05);
        keys.iter().for_each(|key| builder.add(key));
        builder.finish()
    };
    let ints = of(DataType::Int64, &[PrimaryKey::Int(1), PrimaryKey::Int(i64::MAX)]);
    let texts = of(DataType::VarChar, &[PrimaryKey::Str("a".into()), PrimaryKey::Str("é\"".into())]);
    let none = of(DataType::VarChar, &[]);
    let mut seeds: Vec<Vec<u8>> = [&ints, &texts, &none].iter().map(|one| [&[0], &one.encode()[..]].concat()).collect();
    seeds.push([&[1], &compound(&[ints.clone(), ints])[..]].concat());
    seeds.push([&[1], &compound(&[])[..]].concat());
    seeds.push(
        b"\x00{\"fieldID\":100,\"max\":9,\"min\":1,\"bf\":{\"m\":19,\"k\":5,\"b\":\"AAAAAAAAABMAAAAAAAZ7uQ==\"}}"
            .to_vec(),
    );
    seeds
}
