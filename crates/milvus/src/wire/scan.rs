//! Walks the fields of an encoded protobuf message without decoding it.

use bytes::{BufMut, BytesMut};

use super::WireError;

/// How a field is laid out on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A number of up to ten bytes.
    Varint(u64),
    /// Eight bytes.
    Fixed64(&'a [u8]),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(&'a [u8]),
}

/// One field: its number, its payload, and all its bytes with the tag.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Field number of the message's definition.
    pub number: u32,
    /// Its content.
    pub payload: Payload<'a>,
    /// Tag, length and content as they came.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The content of a text, bytes or message field.
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.payload {
            Payload::Bytes(bytes) => Ok(bytes),
            Payload::Varint(_) | Payload::Fixed64(_) | Payload::Fixed32(_) => {
                Err(WireError::Encoding("a number where bytes belong"))
            }
        }
    }

    /// The content of a number field.
    pub fn varint(&self) -> Result<u64, WireError> {
        match self.payload {
            Payload::Varint(value) => Ok(value),
            Payload::Bytes(_) | Payload::Fixed64(_) | Payload::Fixed32(_) => {
                Err(WireError::Encoding("bytes where a number belongs"))
            }
        }
    }
}

/// The fields of a message, in the order they stand; ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of a message.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = read_field(self.rest);
        self.rest = match &field {
            Ok(field) => &self.rest[field.raw.len()..],
            Err(_) => &[],
        };
        Some(field)
    }
}

fn read_field(message: &[u8]) -> Result<Field<'_>, WireError> {
    let mut rest = message;
    let tag = take_varint(&mut rest)?;
    let number = u32::try_from(tag >> 3).map_err(|_| WireError::Encoding("field number out of range"))?;
    if number == 0 {
        return Err(WireError::Encoding("field number 0"));
    }
    let payload = match tag & 7 {
        0 => Payload::Varint(take_varint(&mut rest)?),
        1 => Payload::Fixed64(take(&mut rest, 8)?),
        2 => {
            let len = take_varint(&mut rest)?;
            let len = usize::try_from(len).map_err(|_| WireError::Encoding("length out of range"))?;
            Payload::Bytes(take(&mut rest, len)?)
        }
        5 => Payload::Fixed32(take(&mut rest, 4)?),
        _ => return Err(WireError::Encoding("unknown wire type")),
    };
    Ok(Field { number, payload, raw: &message[..message.len() - rest.len()] })
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    let (taken, left) = rest.split_at_checked(len).ok_or(WireError::Encoding("cut short"))?;
    *rest = left;
    Ok(taken)
}

/// Takes one number off the front.
pub fn take_varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for (index, &byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            if index == 9 && byte > 1 {
                return Err(WireError::Encoding("number out of range"));
            }
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(WireError::Encoding(if rest.len() < 10 { "cut short" } else { "number out of range" }))
}

/// Writes a number.
pub fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value as u8) | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Bytes that [`put_varint`] writes for a number.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes a number field, unless it is the default 0.
pub fn put_number(out: &mut BytesMut, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

/// Writes tag and length of a bytes field; its content comes next.
pub fn put_header(out: &mut BytesMut, number: u32, len: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, len as u64);
}

/// Writes a bytes field, also an empty one.
pub fn put_bytes(out: &mut BytesMut, number: u32, bytes: &[u8]) {
    put_header(out, number, bytes.len());
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive(value: u64) {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            let mut rest = &out[..];
            prop_assert_eq!(take_varint(&mut rest).unwrap(), value);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_walked_or_refused(bytes: Vec<u8>) {
            let mut walked = 0;
            for field in fields(&bytes) {
                match field {
                    Ok(field) => walked += field.raw.len(),
                    Err(_) => return Ok(()),
                }
            }
            prop_assert_eq!(walked, bytes.len());
        }
    }

    #[test]
    fn broken_messages_are_errors() {
        for (bytes, why) in [
            (&[0x0a, 5, 1][..], "cut short"),
            (&[0x0b], "unknown wire type"),
            (&[0x00, 1], "field number 0"),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "number out of range"),
            (&[0x0d, 1, 2], "cut short"),
        ] {
            let error = fields(bytes).find_map(Result::err).unwrap();
            assert_eq!(error, WireError::Encoding(why));
        }
    }
}
