//! Sizes and zig-zag of variable-length integers: 7 bits a byte, lowest first, high bit = goes on.

/// Maps small magnitudes to small codes: 0, -1, 1, -2, … become 0, 1, 2, 3, …
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Reverses [`zigzag`].
pub(crate) fn unzigzag(code: u64) -> i64 {
    ((code >> 1) as i64) ^ -((code & 1) as i64)
}

/// Encoded bytes of an unsigned varint.
pub fn uvarint_len(value: u32) -> usize {
    code_len(u64::from(value))
}

/// Encoded bytes of a zig-zag varint.
pub fn varint_len(value: i32) -> usize {
    code_len(zigzag(i64::from(value)))
}

/// Encoded bytes of a zig-zag varlong.
pub fn varlong_len(value: i64) -> usize {
    code_len(zigzag(value))
}

fn code_len(code: u64) -> usize {
    // 0 takes a byte too.
    let bits = 64 - (code | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}
