//! Values as the stand-in keeps them: equal exactly if they are the same bits.

use vecferry_milvus::proto::schema::{ValueField, value_field::Data};

/// One value of one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 32 bits.
    Int(i32),
    /// An integer of 64 bits.
    Long(i64),
    /// A float of 32 bits, as its bits.
    Float(u32),
    /// A float of 64 bits, as its bits.
    Double(u64),
    /// A text, also of a geometry.
    Text(String),
    /// A JSON document, as it was written.
    Json(Vec<u8>),
    /// Microseconds since 1970, of a timestamp with zone.
    Time(i64),
    /// A dense vector, as it is on the wire.
    Vector(Vec<u8>),
    /// A sparse vector, as it is on the wire.
    Sparse(Vec<u8>),
    /// The elements of an array, or of one field of an array of structs.
    Array(Vec<Value>),
}

/// A primary key, in the servers' order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Of an Int64 field.
    Long(i64),
    /// Of a VarChar field.
    Text(String),
}

impl Value {
    /// The value as a key.
    pub(super) fn key(&self) -> Option<Key> {
        match self {
            Self::Long(number) => Some(Key::Long(*number)),
            Self::Text(text) => Some(Key::Text(text.clone())),
            _ => None,
        }
    }

    /// Another value of the same type, of the same length where it is an array; none where there is no other.
    pub fn altered(&self) -> Option<Self> {
        fn flipped(bytes: &[u8], at: usize) -> Option<Vec<u8>> {
            let mut bytes = bytes.to_vec();
            *bytes.get_mut(at)? ^= 1;
            Some(bytes)
        }
        Some(match self {
            Self::Null => return None,
            Self::Bool(value) => Self::Bool(!value),
            Self::Int(number) => Self::Int(number ^ 1),
            Self::Long(number) => Self::Long(number ^ 1),
            Self::Float(bits) => Self::Float(bits ^ 1),
            Self::Double(bits) => Self::Double(bits ^ 1),
            Self::Text(text) if text.starts_with("POINT") => Self::Text("POINT (3 4)".to_owned()),
            Self::Text(text) => Self::Text(if text.is_empty() { "x".to_owned() } else { String::new() }),
            Self::Json(text) if text.starts_with(b"{") => Self::Json(br#"{"altered":1}"#.to_vec()),
            Self::Json(_) => Self::Json(b"[\"altered\"]".to_vec()),
            Self::Time(microseconds) => Self::Time(microseconds + 1),
            Self::Vector(bytes) => Self::Vector(flipped(bytes, 0)?),
            // The lowest bit of the first value.
            Self::Sparse(bytes) => Self::Sparse(flipped(bytes, 4)?),
            Self::Array(elements) => {
                let mut elements = elements.clone();
                let last = elements.last_mut()?;
                *last = last.altered()?;
                Self::Array(elements)
            }
        })
    }

    /// The default value that a schema says.
    pub(super) fn of_default(default: &ValueField) -> Option<Self> {
        Some(match default.data.as_ref()? {
            Data::BoolData(value) => Self::Bool(*value),
            Data::IntData(value) => Self::Int(*value),
            Data::LongData(value) => Self::Long(*value),
            Data::FloatData(value) => Self::Float(value.to_bits()),
            Data::DoubleData(value) => Self::Double(value.to_bits()),
            Data::StringData(value) => Self::Text(value.clone()),
            Data::BytesData(value) => Self::Json(value.to_vec()),
            Data::TimestamptzData(value) => Self::Time(*value),
        })
    }
}

/// A timestamp with zone as servers write it, in UTC.
pub(super) fn time_text(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds).expect("a time within range").to_string()
}

/// A timestamp with zone from its text.
pub(super) fn time_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were() {
        for microseconds in [0, -1, 1_700_000_000_123_456, 1_700_000_000_000_000] {
            assert_eq!(time_of(&time_text(microseconds)), Some(microseconds));
        }
        assert_eq!(time_of("2025-01-01T08:00:00+08:00"), time_of("2025-01-01T00:00:00Z"));
        assert_eq!(time_of("yesterday"), None);
    }
}
