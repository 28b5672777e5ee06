//! Which APIs and versions a broker serves.

use std::collections::HashMap;

use freshet_codec::Message;
use freshet_wire::{ApiVersionsRequest, ApiVersionsResponse, ErrorCode, Request, decode_response};

use super::Connection;
use crate::ClientError;

/// Version ranges by API key.
#[derive(Debug)]
pub(super) enum Served {
    /// What the broker told.
    Told(HashMap<i16, (i16, i16)>),
    /// Nobody asked: the other side is taken to know what we know.
    Assumed,
}

impl Served {
    fn new(response: &ApiVersionsResponse) -> Self {
        let ranges = response.api_keys.iter();
        Self::Told(
            ranges
                .map(|api| (api.api_key, (api.min_version, api.max_version)))
                .collect(),
        )
    }

    /// The newest version of `R` that both sides know and that is not above `cap`.
    pub(super) fn newest<R: Request>(&self, cap: i16) -> Option<i16> {
        let (theirs_min, theirs_max) = match self {
            Self::Told(ranges) => *ranges.get(&R::KEY.code())?,
            Self::Assumed => (*R::VERSIONS.start(), *R::VERSIONS.end()),
        };
        let version = theirs_max.min(*R::VERSIONS.end()).min(cap);
        (version >= theirs_min && version >= *R::VERSIONS.start()).then_some(version)
    }
}

/// Asks in our newest version. A broker that does not know it says so in version 0 and names the
/// range it does know (KIP-511); then we ask again.
pub(super) async fn ask(connection: &Connection) -> Result<Served, ClientError> {
    let newest = *ApiVersionsRequest::VERSIONS.end();
    let response = match ask_in(connection, newest).await? {
        Ok(response) => response,
        Err(theirs) => ask_in(connection, theirs.clamp(0, newest))
            .await?
            .map_err(|_| ClientError::Unsupported {
                address: connection.address().to_owned(),
                api: ApiVersionsRequest::KEY.name(),
            })?,
    };
    ClientError::check(response.error_code, None, || {
        format!("cannot greet {}", connection.address())
    })?;
    Ok(Served::new(&response))
}

/// The answer, or the broker's newest version when it does not know ours.
async fn ask_in(
    connection: &Connection,
    version: i16,
) -> Result<Result<ApiVersionsResponse, i16>, ClientError> {
    let request = ApiVersionsRequest {
        client_software_name: "freshet".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..ApiVersionsRequest::default()
    };
    let frame = connection.exchange(&request, version).await?;
    // The error code follows the correlation id in every version.
    let refused = ErrorCode::UnsupportedVersion.code().to_be_bytes();
    if frame.get(4..6) != Some(&refused) {
        return Ok(Ok(decode_response::<ApiVersionsRequest>(frame, version)?.1));
    }
    let (_, response) = decode_response::<ApiVersionsRequest>(frame, 0)?;
    let key = ApiVersionsRequest::KEY.code();
    let theirs = response.api_keys.iter().find(|api| api.api_key == key);
    Ok(Err(theirs.map_or(0, |api| api.max_version)))
}

#[cfg(test)]
mod tests {
    use freshet_wire::{FetchRequest, MetadataRequest, ProduceRequest};

    use super::*;

    #[test]
    fn the_newest_common_version_wins() {
        let served = Served::Told([(3, (0, 9)), (1, (4, 99)), (0, (0, 2))].into());
        assert_eq!(served.newest::<MetadataRequest>(i16::MAX), Some(9));
        assert_eq!(served.newest::<MetadataRequest>(4), Some(4));
        assert_eq!(served.newest::<FetchRequest>(i16::MAX), Some(18));
        assert_eq!(served.newest::<ProduceRequest>(i16::MAX), None);
        assert_eq!(Served::Assumed.newest::<FetchRequest>(17), Some(17));
    }
}
