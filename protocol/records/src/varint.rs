//! Zig-zag varints, as records use them: 7 bits a byte, least significant first.
//!
//! Zig-zag maps 0, -1, 1, -2, … to 0, 1, 2, 3, …, so that small numbers of either sign are short.
//! A 32-bit number takes at most 5 bytes, a 64-bit one at most 10.

/// Bytes that may be needed to read a 32-bit number.
pub(crate) const MAX_VARINT: usize = 5;

/// Appends a 32-bit number.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Appends a 64-bit number. For values of 32 bits the bytes are those of a 32-bit varint.
pub(crate) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut bits = zig_zag(value);
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Bytes that [`put_varlong`] appends.
pub(crate) fn varlong_bytes(value: i64) -> usize {
    let bits = 64 - (zig_zag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Reads a 32-bit number and the count of its bytes. `None`: cut short, or too long.
#[inline]
pub(crate) fn get_varint(bytes: &[u8]) -> Option<(i32, usize)> {
    let (bits, used) = get_bits(bytes, MAX_VARINT)?;
    let bits = u32::try_from(bits).ok()?;
    Some((((bits >> 1) as i32) ^ -((bits & 1) as i32), used))
}

/// Reads a 64-bit number and the count of its bytes. `None`: cut short, or too long.
#[inline]
pub(crate) fn get_varlong(bytes: &[u8]) -> Option<(i64, usize)> {
    let (bits, used) = get_bits(bytes, 10)?;
    Some((((bits >> 1) as i64) ^ -((bits & 1) as i64), used))
}

fn zig_zag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn get_bits(bytes: &[u8], max_bytes: usize) -> Option<(u64, usize)> {
    let mut bits = 0_u64;
    for (i, &byte) in bytes.iter().take(max_bytes).enumerate() {
        if i == 9 && byte > 1 {
            return None; // the 10th byte has room for one bit only
        }
        bits |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((bits, i + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn long(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put_varlong(&mut out, value);
        out
    }

    #[test]
    fn numbers_have_the_bytes_worked_out_by_hand() {
        for (value, bytes) in [
            (0, vec![0x00]),
            (-1, vec![0x01]),
            (1, vec![0x02]),
            (-64, vec![0x7f]),
            (63, vec![0x7e]),
            (64, vec![0x80, 0x01]),
            (-65, vec![0x81, 0x01]),
            (8191, vec![0xfe, 0x7f]),
            (8192, vec![0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), vec![0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert_eq!(long(value), bytes, "{value}");
            assert_eq!(get_varlong(&bytes), Some((value, bytes.len())));
            assert_eq!(get_varint(&bytes), Some((value as i32, bytes.len())));
        }
        let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(get_varlong(&most), Some((i64::MAX, 10)));
    }

    #[test]
    fn too_long_and_too_short_numbers_are_refused() {
        assert_eq!(get_varint(&[]), None);
        assert_eq!(get_varint(&[0x80]), None);
        assert_eq!(get_varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), None);
        assert_eq!(get_varint(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(get_varlong(&[0xff; 10]), None);
        let mut eleven = [0x80; 11];
        eleven[10] = 0;
        assert_eq!(get_varlong(&eleven), None);
    }

    proptest! {
        #[test]
        fn varlongs_round_trip(value: i64, rest: Vec<u8>) {
            let mut bytes = long(value);
            let len = bytes.len();
            prop_assert_eq!(len, varlong_bytes(value));
            bytes.extend(rest);
            prop_assert_eq!(get_varlong(&bytes), Some((value, len)));
        }

        #[test]
        fn varints_round_trip(value: i32) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert!(bytes.len() <= MAX_VARINT);
            prop_assert_eq!(get_varint(&bytes), Some((value, bytes.len())));
        }
    }
}
