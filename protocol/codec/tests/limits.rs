//! What the reader and the writer refuse.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use bytes::Bytes;
use freshet_codec::{
    DecodeError, EncodeError, Field, Flaw, MAX_ELEMENTS, MAX_STRING, Reader, Shape, Writer,
};
use proptest::prelude::*;

const CLASSIC: Shape = Shape {
    version: 0,
    flexible: false,
};
const FLEXIBLE: Shape = Shape {
    version: 0,
    flexible: true,
};

fn read<T: Field>(bytes: &[u8], at: Shape) -> Result<T, DecodeError> {
    T::read(&mut Reader::new(Bytes::copy_from_slice(bytes)), at)
}

fn flaw<T: Field + std::fmt::Debug>(bytes: &[u8], at: Shape) -> Flaw {
    read::<T>(bytes, at).unwrap_err().what
}

#[test]
fn a_count_needs_its_bytes() {
    assert_eq!(
        flaw::<Vec<i64>>(b"\0\0\0\x02\0\0\0\0", CLASSIC),
        Flaw::Short {
            needed: 16,
            left: 4
        }
    );
    assert_eq!(
        flaw::<Vec<i64>>(b"\x03\0", FLEXIBLE),
        Flaw::Short {
            needed: 16,
            left: 1
        }
    );
    assert_eq!(
        flaw::<Vec<String>>(b"\0\0\0\x02\0\0\0", CLASSIC),
        Flaw::Short { needed: 4, left: 3 }
    );
}

#[test]
fn counts_have_a_cap() {
    let count = MAX_ELEMENTS + 1;
    let bytes = [&(count as i32).to_be_bytes()[..], &vec![0; count]].concat();
    assert_eq!(
        flaw::<Vec<i8>>(&bytes, CLASSIC),
        Flaw::TooMany {
            count,
            limit: MAX_ELEMENTS
        }
    );
    let mut writer = Writer::new();
    let error = EncodeError::Length {
        len: count,
        max: MAX_ELEMENTS,
    };
    assert_eq!(vec![0i8; count].write(&mut writer, CLASSIC), Err(error));
}

#[test]
fn tagged_sections_have_a_cap() {
    let mut reader = Reader::new(Bytes::from_static(b"\xff\xff\xff\xff\x0f"));
    let error = reader.tagged_fields(|_, _| Ok(false)).unwrap_err();
    assert!(matches!(error.what, Flaw::TooMany { limit: 10_000, .. }));
}

#[test]
fn many_small_elements_may_not_take_much_memory() {
    // 48 bytes of memory for each byte of the frame.
    #[derive(Debug)]
    struct Wide([u8; 48]);
    impl Field for Wide {
        fn smallest(_: Shape) -> usize {
            1
        }
        fn read(r: &mut Reader, _: Shape) -> Result<Self, DecodeError> {
            r.i8().map(|byte| Self([byte as u8; 48]))
        }
        fn write(&self, w: &mut Writer, _: Shape) -> Result<(), EncodeError> {
            w.i8(self.0[0] as i8);
            Ok(())
        }
    }
    let frame = |count: u32| [&count.to_be_bytes()[..], &vec![0; count as usize]].concat();
    assert_eq!(read::<Vec<Wide>>(&frame(100), CLASSIC).unwrap().len(), 100);
    assert!(matches!(
        flaw::<Vec<Wide>>(&frame(10_000), CLASSIC),
        Flaw::TooLarge { .. }
    ));
}

#[test]
fn the_memory_limit_grows_slower_for_large_frames() {
    const MIB: usize = 1024 * 1024;
    assert_eq!(Reader::memory_limit(0), 4096);
    assert_eq!(Reader::memory_limit(MIB), 32 * MIB + 4096);
    assert_eq!(Reader::memory_limit(100 * MIB), (32 + 99 * 8) * MIB + 4096);
}

#[test]
fn strings_have_a_cap() {
    let text = "x".repeat(MAX_STRING + 1);
    let error = EncodeError::Length {
        len: MAX_STRING + 1,
        max: MAX_STRING,
    };
    for at in [CLASSIC, FLEXIBLE] {
        assert_eq!(text.write(&mut Writer::new(), at), Err(error));
    }
    let mut writer = Writer::new();
    writer.uvarint(MAX_STRING as u32 + 2);
    writer.raw(text.as_bytes());
    let bytes = writer.finish().into_bytes();
    assert_eq!(
        flaw::<String>(&bytes, FLEXIBLE),
        Flaw::Length(MAX_STRING as i64 + 1)
    );
}

#[test]
fn strings_are_utf8() {
    assert_eq!(flaw::<String>(b"\0\x01\xff", CLASSIC), Flaw::Utf8);
}

#[test]
fn negative_lengths_other_than_null_are_refused() {
    assert_eq!(flaw::<String>(b"\xff\xfe", CLASSIC), Flaw::Length(-2));
    assert_eq!(
        flaw::<Bytes>(b"\x80\0\0\0", CLASSIC),
        Flaw::Length(i64::from(i32::MIN))
    );
    assert_eq!(flaw::<Vec<i8>>(b"\xff\xff\xff\xff", CLASSIC), Flaw::Null);
}

#[test]
fn variable_length_integers_end() {
    let long = Bytes::from_static(&[0xff; 11]);
    assert_eq!(
        Reader::new(long.clone()).uvarint().unwrap_err().what,
        Flaw::Varint
    );
    assert_eq!(
        Reader::new(long.clone()).varint().unwrap_err().what,
        Flaw::Varint
    );
    assert_eq!(Reader::new(long).varlong().unwrap_err().what, Flaw::Varint);
    let short = Bytes::from_static(&[0xff; 3]);
    assert!(matches!(
        Reader::new(short).varlong().unwrap_err().what,
        Flaw::Short { .. }
    ));
}

proptest! {
    #[test]
    fn integers_round_trip(a: i64, b: i32, c: u32, d: f64) {
        let mut w = Writer::new();
        w.varlong(a);
        w.varint(b);
        w.uvarint(c);
        w.f64(d);
        let lens = freshet_codec::varlong_len(a)
            + freshet_codec::varint_len(b)
            + freshet_codec::uvarint_len(c);
        prop_assert_eq!(w.len(), lens + 8);
        let mut r = Reader::new(w.finish().into_bytes());
        prop_assert_eq!(r.varlong().unwrap(), a);
        prop_assert_eq!(r.varint().unwrap(), b);
        prop_assert_eq!(r.uvarint().unwrap(), c);
        prop_assert_eq!(r.f64().unwrap().to_bits(), d.to_bits());
        prop_assert_eq!(r.expect_end(), Ok(()));
    }

    #[test]
    fn reading_garbage_never_panics(bytes: Vec<u8>, flexible: bool) {
        let at = Shape { version: 0, flexible };
        let _ = read::<Vec<Vec<String>>>(&bytes, at);
        let _ = read::<Option<Vec<Option<Bytes>>>>(&bytes, at);
        let _ = Reader::new(bytes.into()).tagged_fields(|r, tag| r.skip(tag as usize).map(|()| true));
    }
}
