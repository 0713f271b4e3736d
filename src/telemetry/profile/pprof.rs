//! The format of profiles that `go tool pprof` and its relatives read, as far as it is needed here.
//!
//! Field numbers are those of the public `profile.proto`. Strings, functions and places are named by their number, and each
//! occurs once.

use std::{collections::HashMap, time::Duration};

use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<CodeFunction>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    /// A regular expression of functions that readers leave out, with all that they call.
    #[prost(int64, tag = "7")]
    drop_frames: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

/// The kind of a number, and its unit.
#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The innermost call first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    text: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct CodeFunction {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The kind of a number of a profile, and its unit.
pub(super) type ProfileValue = (&'static str, &'static str);

/// Collects the stacks of a profile.
pub(super) struct ProfileBuilder {
    profile: Profile,
    strings: HashMap<String, i64>,
    /// Numbers of functions, by the numbers of their name and file.
    functions: HashMap<(i64, i64), u64>,
    /// Numbers of places, by function and line.
    locations: HashMap<(u64, i64), u64>,
}

impl ProfileBuilder {
    /// Each stack has two numbers, `values`. A sample was taken each `period` of the second of them.
    pub(super) fn new(values: [ProfileValue; 2], period: i64, length: Duration) -> Self {
        let mut builder = Self {
            profile: Profile {
                duration_nanos: i64::try_from(length.as_nanos()).unwrap_or(i64::MAX),
                period,
                ..Profile::default()
            },
            strings: HashMap::new(),
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        // The format wants the empty text first.
        builder.string("");
        let kinds = values.map(|(kind, unit)| ValueType { kind: builder.string(kind), unit: builder.string(unit) });
        builder.profile.sample_type = kinds.to_vec();
        builder.profile.period_type = Some(kinds[1]);
        builder
    }

    /// Has readers leave out functions whose whole name matches `pattern`, with all that they call.
    pub(super) fn leave_out(&mut self, pattern: &str) {
        self.profile.drop_frames = self.string(pattern);
    }

    /// The number of a call, by its name, file and line.
    pub(super) fn location(&mut self, name: &str, file: &str, line: u32) -> u64 {
        let (name, filename, line) = (self.string(name), self.string(file), i64::from(line));
        let functions = &mut self.profile.function;
        let function_id = *self.functions.entry((name, filename)).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            functions.push(CodeFunction { id, name, system_name: name, filename });
            id
        });
        let locations = &mut self.profile.location;
        *self.locations.entry((function_id, line)).or_insert_with(|| {
            let id = locations.len() as u64 + 1;
            locations.push(Location { id, line: vec![Line { function_id, line }] });
            id
        })
    }

    /// Adds a stack, the innermost call first, and the thread that it was seen in.
    pub(super) fn add(&mut self, stack: Vec<u64>, values: [i64; 2], thread: Option<&str>) {
        let label = thread.map(|thread| Label { key: self.string("thread"), text: self.string(thread) });
        let sample = Sample { location_id: stack, value: values.to_vec(), label: label.into_iter().collect() };
        self.profile.sample.push(sample);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.profile.encode_to_vec()
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(number) = self.strings.get(text) {
            return *number;
        }
        let number = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_function_and_place_is_written_once() {
        let mut builder =
            ProfileBuilder::new([("samples", "count"), ("cpu", "nanoseconds")], 10, Duration::from_secs(1));
        for (line, count) in [(3, 2), (4, 1)] {
            let stack = vec![builder.location("inner", "a.rs", line), builder.location("outer", "a.rs", 7)];
            builder.add(stack, [count, count * 10], Some("worker"));
        }
        let read = Profile::decode(builder.encode().as_slice()).unwrap();

        assert_eq!(read.string_table[0], "");
        let text = |number: i64| read.string_table[number as usize].as_str();
        let places: Vec<(&str, i64)> = read
            .location
            .iter()
            .map(|location| {
                let [line] = location.line[..] else { panic!("one line a place") };
                (text(read.function[line.function_id as usize - 1].name), line.line)
            })
            .collect();
        assert_eq!(places, [("inner", 3), ("outer", 7), ("inner", 4)]);
        assert_eq!(read.function.len(), 2);
        let stacks: Vec<(&[u64], &[i64])> =
            read.sample.iter().map(|sample| (&sample.location_id[..], &sample.value[..])).collect();
        assert_eq!(stacks, [(&[1, 2][..], &[2, 20][..]), (&[3, 2][..], &[1, 10][..])]);
        let kinds: Vec<(&str, &str)> = read.sample_type.iter().map(|kind| (text(kind.kind), text(kind.unit))).collect();
        assert_eq!(kinds, [("samples", "count"), ("cpu", "nanoseconds")]);
    }
}
