//! What the nodes of one cluster say to each other. Not Kafka's: its key is far from theirs, no
//! listener tells of it, and its bytes mean what the two rooms that speak through it agree on.

use freshet_codec::{Message, Payload};

use crate::{ApiKey, Request};

/// Something from another node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct PeerRequest {
    /// What it is about.
    pub kind: i8,
    /// The rest, as that kind has it.
    pub body: Payload,
}

/// What the other node says to it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct PeerResponse {
    /// Whether it was understood and handed on; what came of it is in the body.
    pub taken: bool,
    /// The answer, as the request's kind has it.
    pub body: Payload,
}

impl PeerResponse {
    /// To what cannot be understood, or is not for this node now.
    pub fn refusal() -> Self {
        Self::default()
    }
}

impl Request for PeerRequest {
    const KEY: ApiKey = ApiKey::Peer;
    type Response = PeerResponse;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LENGTH_BYTES, RequestHeader, ResponseHeader, decode_response, encode_request,
        encode_response,
    };
    use bytes::Bytes;

    #[test]
    fn it_comes_back_as_it_went() {
        let request = PeerRequest {
            kind: 3,
            body: Bytes::from_static(b"letter").into(),
        };
        let header = RequestHeader::of::<PeerRequest>(0, 7, Some("node 1"));
        let frame = encode_request(&header, &request).unwrap().into_bytes();
        let (back, reader) = RequestHeader::open(frame.slice(LENGTH_BYTES..)).unwrap();
        assert_eq!(back, header);
        let mut reader = reader;
        assert_eq!(PeerRequest::decode(&mut reader, 0).unwrap(), request);

        let response = PeerResponse {
            taken: true,
            body: Bytes::from_static(b"answer").into(),
        };
        let header = ResponseHeader { correlation_id: 7 };
        let frame = encode_response::<PeerRequest>(&header, &response, 0).unwrap();
        let frame = frame.into_bytes().slice(LENGTH_BYTES..);
        let (_, back) = decode_response::<PeerRequest>(frame, 0).unwrap();
        assert_eq!(back, response);
    }
}
