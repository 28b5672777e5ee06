//! What ties a request to its key, its response and its place in the list.

use freshet_codec::Message;

use crate::ApiKey;

/// A request and what answers it. Both have the same versions.
pub trait Request: Message {
    /// Its key.
    const KEY: ApiKey;
    /// What answers it, in the version of the request.
    type Response: Message;
}

/// Facts about one declared API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Its key.
    pub key: ApiKey,
    /// The first declared version.
    pub first: i16,
    /// The last declared version.
    pub last: i16,
    /// The first flexible version; `i16::MAX` if there is none.
    pub flexible: i16,
}

impl Api {
    /// The facts that `R` declares.
    pub const fn of<R: Request>() -> Self {
        let versions = R::VERSIONS;
        Self {
            key: R::KEY,
            first: *versions.start(),
            last: *versions.end(),
            flexible: R::FLEXIBLE,
        }
    }

    /// The declared API with this key.
    pub fn find(key: i16) -> Option<&'static Self> {
        BY_KEY.get(usize::try_from(key).ok()?)?.as_ref()
    }

    /// Whether this version is declared.
    pub fn has(&self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

macro_rules! table {
    ($($module:ident $request:ident $response:ident,)*) => {
        /// Every declared API, in the order of the list.
        pub static APIS: &[Api] = &[$(Api::of::<crate::$request>(),)*];
    };
}

crate::for_each_api!(table);

/// [`APIS`] by key, because every frame is looked up.
static BY_KEY: [Option<Api>; ApiKey::ALL.len()] = {
    let mut by_key = [None; ApiKey::ALL.len()];
    let mut i = 0;
    while i < APIS.len() {
        by_key[APIS[i].key as usize] = Some(APIS[i]);
        i += 1;
    }
    by_key
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_is_listed_once() {
        for api in APIS {
            assert_eq!(Api::find(api.key.code()), Some(api));
            assert_eq!(
                APIS.iter().filter(|other| other.key == api.key).count(),
                1,
                "{api:?}"
            );
        }
        assert_eq!(Api::find(-1), None);
        assert_eq!(Api::find(ApiKey::LeaderAndIsr.code()), None);
    }

    fn agree<R: Request>() {
        let name = R::KEY.name();
        assert_eq!(R::NAME, format!("{name}Request"));
        assert_eq!(R::Response::NAME, format!("{name}Response"));
        assert_eq!(R::VERSIONS, R::Response::VERSIONS, "{name}");
        assert_eq!(R::FLEXIBLE, R::Response::FLEXIBLE, "{name}");
    }

    macro_rules! each {
        ($($module:ident $request:ident $response:ident,)*) => { $(agree::<crate::$request>();)* };
    }

    #[test]
    fn request_and_response_agree() {
        crate::for_each_api!(each);
    }
}
