//! Frames: four bytes of length, a header, a body.

use bytes::{Buf, Bytes, BytesMut};
use freshet_codec::{Chunks, DecodeError, EncodeError, Message, Reader, Writer};
use freshet_types::ErrorKind;

use crate::{Request, RequestHeader, ResponseHeader};

/// Bytes of the length in front of a frame.
pub const LENGTH_BYTES: usize = 4;

/// A length prefix nobody should follow. The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {declared} bytes was announced, where 0 to {max} are allowed")]
pub struct FrameError {
    /// The announced length.
    pub declared: i32,
    /// The largest accepted length.
    pub max: usize,
}

impl FrameError {
    /// Who has to act: the sender.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The length that a prefix announces, if it is at most `max` bytes.
pub fn frame_length(prefix: [u8; LENGTH_BYTES], max: usize) -> Result<usize, FrameError> {
    let declared = i32::from_be_bytes(prefix);
    usize::try_from(declared)
        .ok()
        .filter(|len| *len <= max)
        .ok_or(FrameError { declared, max })
}

/// Takes the first whole frame, without its length, off the front of what was received; `None` when
/// more bytes must come first.
pub fn split_frame(received: &mut BytesMut, max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = received.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let len = frame_length(*prefix, max)?;
    if received.len() - LENGTH_BYTES < len {
        return Ok(None);
    }
    received.advance(LENGTH_BYTES);
    Ok(Some(received.split_to(len).freeze()))
}

/// A whole request frame with its length, in the version that the header names.
pub fn encode_request<R: Request>(
    header: &RequestHeader,
    request: &R,
) -> Result<Chunks, EncodeError> {
    let version = header.request_api_version;
    let mut w = Writer::new();
    w.i32(0);
    header.encode(&mut w, RequestHeader::version(R::FLEXIBLE, version))?;
    request.encode(&mut w, version)?;
    w.finish_frame()
}

/// A whole response frame with its length, in the version of the request.
pub fn encode_response<R: Request>(
    header: &ResponseHeader,
    response: &R::Response,
    version: i16,
) -> Result<Chunks, EncodeError> {
    let mut w = Writer::new();
    w.i32(0);
    header.encode(
        &mut w,
        ResponseHeader::version(R::KEY, R::FLEXIBLE, version),
    )?;
    response.encode(&mut w, version)?;
    w.finish_frame()
}

/// Reads a response frame, without its length, to an `R` in `version`.
pub fn decode_response<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(ResponseHeader, R::Response), DecodeError> {
    let mut r = Reader::new(frame);
    let header = ResponseHeader::decode(
        &mut r,
        ResponseHeader::version(R::KEY, R::FLEXIBLE, version),
    )?;
    let response = R::Response::decode(&mut r, version)?;
    Ok((header, response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiVersionsRequest, MetadataRequest, MetadataResponse};

    #[test]
    fn frames_are_split_where_they_end() {
        let mut received = BytesMut::from(&b"\0\0\0\x02ab\0\0\0\0\0\0\0\x03c"[..]);
        assert_eq!(
            split_frame(&mut received, 2),
            Ok(Some(Bytes::from_static(b"ab")))
        );
        assert_eq!(split_frame(&mut received, 2), Ok(Some(Bytes::new())));
        assert_eq!(
            split_frame(&mut received, 2),
            Err(FrameError {
                declared: 3,
                max: 2
            })
        );
        assert_eq!(split_frame(&mut received, 3), Ok(None));
        assert_eq!(
            frame_length([0xff; 4], 100),
            Err(FrameError {
                declared: -1,
                max: 100
            })
        );
    }

    #[test]
    fn request_frames_are_the_bytes_kafka_sends() {
        let request = ApiVersionsRequest {
            client_software_name: "f".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        let header = RequestHeader::of::<ApiVersionsRequest>(3, 1, Some("c"));
        let frame = encode_request(&header, &request).unwrap().into_bytes();
        assert_eq!(
            &frame[..],
            b"\0\0\0\x11\0\x12\0\x03\0\0\0\x01\0\x01c\0\x02f\x021\0",
        );
    }

    #[test]
    fn a_response_comes_back_with_its_correlation_id() {
        let header = ResponseHeader { correlation_id: 9 };
        let response = MetadataResponse {
            controller_id: 4,
            ..Default::default()
        };
        for version in MetadataRequest::VERSIONS {
            let frame = encode_response::<MetadataRequest>(&header, &response, version).unwrap();
            let bytes = frame.into_bytes().slice(LENGTH_BYTES..);
            let (back, decoded) = decode_response::<MetadataRequest>(bytes, version).unwrap();
            assert_eq!(back, header);
            assert_eq!(decoded.controller_id, if version == 0 { -1 } else { 4 });
        }
    }
}
