//! Protobuf's wire format, as much of it as a `Struct` and a load report need.

/// The payload of a field. Numbers come as eight bytes, varints as a value.
pub enum Field<'a> {
    /// A varint: numbers, booleans, enumerations.
    Varint(u64),
    /// Eight bytes, little-endian: `double` as its bits, `fixed64`.
    Fixed64(u64),
    /// Bytes with their length: text, messages.
    Bytes(&'a [u8]),
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Reads one field, its number and its payload, from the front. None when the bytes are not one, or one of another type.
pub fn field<'a>(from: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(from)?;
    let payload = match tag & 7 {
        0 => Field::Varint(varint(from)?),
        1 => {
            let (bytes, rest) = from.split_first_chunk::<8>()?;
            *from = rest;
            Field::Fixed64(u64::from_le_bytes(*bytes))
        }
        2 => {
            let length = usize::try_from(varint(from)?).ok()?;
            let (bytes, rest) = from.split_at_checked(length)?;
            *from = rest;
            Field::Bytes(bytes)
        }
        _ => return None,
    };
    Some((tag >> 3, payload))
}
