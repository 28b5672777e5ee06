//! Headers of requests and responses, and which of their versions goes with which API version.
//!
//! | API version | request header | response header |
//! |---|---|---|
//! | not flexible | 1 | 0 |
//! | flexible | 2 | 1, but 0 for ApiVersions |
//!
//! A client that asks for versions does not know yet what the broker speaks, so the response header
//! of ApiVersions never changes (KIP-511).

use bytes::Bytes;
use freshet_codec::{DecodeError, Message, Reader};

use crate::{Api, ApiKey, Request};

/// Starts every request.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-2", flexible = "2+")]
pub struct RequestHeader {
    /// Key of the API.
    pub request_api_key: i16,
    /// Version of the API in this request.
    pub request_api_version: i16,
    /// Chosen by the client; comes back in the response.
    pub correlation_id: i32,
    /// What the client calls itself; never compact, because it is read before versions are known.
    #[field(classic)]
    pub client_id: Option<String>,
}

/// Starts every response.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct ResponseHeader {
    /// The one of the request.
    pub correlation_id: i32,
}

impl RequestHeader {
    /// The header of an `R` in `version`.
    pub fn of<R: Request>(version: i16, correlation_id: i32, client_id: Option<&str>) -> Self {
        Self {
            request_api_key: R::KEY.code(),
            request_api_version: version,
            correlation_id,
            client_id: client_id.map(str::to_owned),
        }
    }

    /// The header version for an API that is flexible from `flexible` on.
    pub fn version(flexible: i16, api_version: i16) -> i16 {
        if api_version >= flexible { 2 } else { 1 }
    }

    /// Reads the header of a request frame, without its length, and leaves the reader at the body.
    /// The header of an API that is not declared here is taken for version 1.
    pub fn open(frame: Bytes) -> Result<(Self, Reader), DecodeError> {
        let mut peek = Reader::new(frame.clone());
        let (key, version) = (peek.i16()?, peek.i16()?);
        let header_version = Api::find(key).map_or(1, |api| Self::version(api.flexible, version));
        let mut reader = Reader::new(frame);
        let header = Self::decode(&mut reader, header_version)?;
        Ok((header, reader))
    }
}

impl ResponseHeader {
    /// The header version for an API that is flexible from `flexible` on.
    pub fn version(key: ApiKey, flexible: i16, api_version: i16) -> i16 {
        i16::from(key != ApiKey::ApiVersions && api_version >= flexible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiVersionsRequest, MetadataRequest};

    #[test]
    fn header_versions_follow_flexibility() {
        assert_eq!(RequestHeader::version(MetadataRequest::FLEXIBLE, 8), 1);
        assert_eq!(RequestHeader::version(MetadataRequest::FLEXIBLE, 9), 2);
        assert_eq!(RequestHeader::version(freshet_codec::NEVER, 1), 1);
        assert_eq!(ResponseHeader::version(ApiKey::Metadata, 9, 8), 0);
        assert_eq!(ResponseHeader::version(ApiKey::Metadata, 9, 9), 1);
        assert_eq!(
            ResponseHeader::version(ApiKey::ApiVersions, ApiVersionsRequest::FLEXIBLE, 4),
            0
        );
    }

    #[test]
    fn the_client_id_is_never_compact() {
        // ApiVersions v3, correlation 7, client id "ab", no tags, then one byte of body.
        let frame = Bytes::from_static(b"\x00\x12\x00\x03\x00\x00\x00\x07\x00\x02ab\x00\xff");
        let (header, reader) = RequestHeader::open(frame).unwrap();
        assert_eq!(
            header,
            RequestHeader::of::<ApiVersionsRequest>(3, 7, Some("ab"))
        );
        assert_eq!(&reader.rest()[..], b"\xff");
    }

    #[test]
    fn a_header_of_an_unknown_api_can_be_read() {
        let frame = Bytes::from_static(b"\x7f\x00\x00\x03\x00\x00\x00\x07\xff\xff");
        let (header, _) = RequestHeader::open(frame).unwrap();
        assert_eq!((header.request_api_key, header.correlation_id), (0x7f00, 7));
        assert!(RequestHeader::open(Bytes::from_static(b"\x00\x12\x00")).is_err());
    }
}
