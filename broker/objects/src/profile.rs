//! Profiles of the AWS tools: what `~/.aws/credentials` and `~/.aws/config` say, where the environment does not.
//!
//! `object_store` reads neither. They come where the AWS tools have them: behind the environment and a web
//! identity that it names, before what a container or an instance is given.

use std::collections::BTreeMap;

use freshet_env::objects::mounted::{Mounted, Written};
use object_store::aws::AwsCredential;

use crate::ini::{self, Section, Value};
use crate::keys::{self, Keys, Ledger};

const KEY_ID: &str = "aws_access_key_id";
const KEY: &str = "aws_secret_access_key";
const TOKEN: &str = "aws_session_token";
const ROLE: &str = "role_arn";
const TOKEN_FILE: &str = "web_identity_token_file";

/// What names keys in ways that are not done here, where those are the profile's.
const FOR_ROLES: [&str; 2] = ["source_profile", "credential_source"];
const SIGN_IN: [&str; 5] = [
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "sso_role_name",
    "login_session",
];
/// The endpoint of S3 alone, in a section `services`.
const OF_S3: &str = "s3.endpoint_url";
const PROCESS: &str = "credential_process";
const INSTEAD: &str = "give this profile aws_access_key_id and aws_secret_access_key, or role_arn and \
                       web_identity_token_file, or choose another one with AWS_PROFILE";

/// Where the environment says a region.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

type Names = Vec<(String, String)>;

fn said<'a>(names: &'a Names, name: &str) -> Option<&'a str> {
    let found = names.iter().find(|(known, _)| known == name);
    found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// Adds to `names` what the profile says and they do not; gives its keys if these count. Files that nobody asks
/// for are left out where they are wrong: `warn` is told why.
///
/// # Errors
/// A file cannot be read, a line of it is none, or it names a source of keys that is not built in.
pub(crate) fn consult(names: &mut Names, warn: impl FnOnce(&str)) -> Result<Option<Keys>, String> {
    let files = Files::of(names);
    let is_told = is_told(names);
    let profile = match files.profile().and_then(|it| usable(it, names)) {
        Err(why) if is_told && !is_asked_for(names) => {
            warn(&why);
            return Ok(None);
        }
        profile => profile?,
    };
    let Some(profile) = profile else {
        return match said(names, "AWS_PROFILE") {
            Some(name) if !is_told => Err(format!(
                "AWS_PROFILE={name} is in neither of {}",
                files.shown()
            )),
            _ => Ok(None),
        };
    };
    let ignores = said(names, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == Some("true");
    let mut add = |unless: &[&str], name: &str, value: Option<&Value>| {
        if let Some(value) = value.filter(|_| !unless.iter().any(|it| said(names, it).is_some())) {
            names.push((name.to_owned(), value.text.clone()));
        }
    };
    add(&REGIONS, keys::REGION, profile.says.get("region"));
    add(
        &["AWS_CA_BUNDLE"],
        "AWS_CA_BUNDLE",
        profile.says.get("ca_bundle"),
    );
    let endpoints = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let of_s3 = profile.says.get(OF_S3);
    let endpoint = of_s3.or_else(|| profile.says.get("endpoint_url"));
    add(
        &endpoints,
        "AWS_ENDPOINT_URL",
        endpoint.filter(|_| !ignores),
    );
    if is_told {
        return Ok(None);
    }
    match profile.source()? {
        Source::None => Ok(None),
        Source::Keys(_) => Ok(Some(Keys::of(files))),
        Source::Role(role) => {
            names.retain(|(name, _)| !role.iter().any(|(own, _)| own == name));
            names.extend(role.map(|(name, value)| (name.to_owned(), value)));
            Ok(None)
        }
    }
}

/// A profile whose region is one, if it counts.
fn usable(profile: Option<Profile>, names: &Names) -> Result<Option<Profile>, String> {
    let counts = REGIONS.iter().all(|name| said(names, name).is_none());
    if let Some(profile) = profile.as_ref().filter(|_| counts) {
        profile.region()?;
    }
    Ok(profile)
}

/// Whether the environment says who asks.
fn is_told(names: &Names) -> bool {
    let has = |name| said(names, name).is_some();
    let web = has("AWS_WEB_IDENTITY_TOKEN_FILE") && has("AWS_ROLE_ARN");
    let nobody = said(names, "AWS_SKIP_SIGNATURE") == Some("true");
    has("AWS_ACCESS_KEY_ID") || has("AWS_SECRET_ACCESS_KEY") || web || nobody
}

/// Whether the environment names a profile or a file.
fn is_asked_for(names: &Names) -> bool {
    let all = [
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
    ];
    all.iter().any(|name| said(names, name).is_some())
}

/// One of the two files.
#[derive(Clone)]
struct File {
    path: String,
    /// Somebody has said where it is, so it is there.
    is_named: bool,
}

/// Both files, and which profile of them counts.
#[derive(Clone)]
struct Files {
    credentials: Option<File>,
    config: Option<File>,
    profile: String,
}

/// What a profile says, and where.
struct Profile {
    name: String,
    says: BTreeMap<String, Value>,
    /// The path of the file that says it.
    files: BTreeMap<String, String>,
}

enum Source {
    None,
    Keys(AwsCredential),
    Role([(&'static str, String); 3]),
}

impl Files {
    fn of(names: &Names) -> Self {
        let home = said(names, "HOME").map(|home| home.trim_end_matches('/'));
        let at = |name, own: &str| match (said(names, name), home) {
            (Some(path), _) => {
                let below = path.strip_prefix("~/").zip(home);
                let path = below.map(|(rest, home)| format!("{home}/{rest}"));
                Some(File {
                    path: path.unwrap_or_else(|| said(names, name).unwrap_or_default().to_owned()),
                    is_named: true,
                })
            }
            (None, Some(home)) => Some(File {
                path: format!("{home}/.aws/{own}"),
                is_named: false,
            }),
            (None, None) => None,
        };
        let profile = said(names, "AWS_PROFILE").or_else(|| said(names, "AWS_DEFAULT_PROFILE"));
        Self {
            credentials: at("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config: at("AWS_CONFIG_FILE", "config"),
            profile: profile.unwrap_or("default").to_owned(),
        }
    }

    fn both(&self) -> impl Iterator<Item = &File> {
        self.config.iter().chain(&self.credentials)
    }

    fn shown(&self) -> String {
        let paths: Vec<_> = self.both().map(|file| file.path.as_str()).collect();
        paths.join(" and ")
    }

    /// All that is said of the profile; of what both files say that of the credentials counts.
    fn profile(&self) -> Result<Option<Profile>, String> {
        let mut profile = Profile {
            name: self.profile.clone(),
            says: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        let mut is_there = false;
        if let Some(file) = &self.config {
            let sections = file.sections()?;
            let long = format!("profile {}", self.profile);
            // `[profile default]` counts before `[default]`; of all others the short name is no profile.
            let short = (self.profile == "default").then_some("default");
            for name in short.into_iter().chain([long.as_str()]) {
                is_there |= profile.hear(file, &sections, name);
            }
            profile.says.remove(OF_S3);
            if let Some(services) = profile.says.get("services") {
                let name = format!("services {}", services.text);
                let mut of_it = sections.iter().filter(|it| it.name == name);
                let section = of_it.next_back();
                let section = section.ok_or_else(|| {
                    let why = format!("there is no [{name}] in this file");
                    profile.wrong("services", &why)
                })?;
                let endpoint = section.says.get(OF_S3);
                profile
                    .says
                    .extend(endpoint.map(|it| (OF_S3.to_owned(), it.clone())));
            }
        }
        if let Some(file) = &self.credentials {
            let sections = file.sections()?;
            let mut own = sections.iter().filter(|it| it.name == self.profile);
            if own.any(|it| it.says.contains_key(KEY_ID)) {
                // A token of other keys would be sent with these.
                profile.forget(&[KEY_ID, KEY, TOKEN]);
            }
            is_there |= profile.hear(file, &sections, &self.profile);
        }
        Ok(is_there.then_some(profile))
    }
}

impl File {
    fn sections(&self) -> Result<Vec<Section>, String> {
        let path = &self.path;
        let here = Mounted::at("");
        // So people say that there shall be none.
        if path == "/dev/null" {
            return Ok(Vec::new());
        }
        // A service may have another's home, and not see what is in it.
        if !self.is_named && !here.has(path) {
            return Ok(Vec::new());
        }
        let text = here.value(path);
        let text = text.map_err(|why| format!("{path} cannot be read: {why}"))?;
        let sections = ini::sections(&text);
        sections.map_err(|wrong| format!("{path}:{}: {}", wrong.line, wrong.why))
    }
}

impl Profile {
    /// Takes what sections of this name say; whether there are any.
    fn hear(&mut self, file: &File, sections: &[Section], name: &str) -> bool {
        let mut is_there = false;
        for section in sections.iter().filter(|section| section.name == name) {
            is_there = true;
            for (name, value) in &section.says {
                self.says.insert(name.clone(), value.clone());
                self.files.insert(name.clone(), file.path.clone());
            }
        }
        is_there
    }

    fn forget(&mut self, names: &[&str]) {
        self.says.retain(|name, _| !names.contains(&name.as_str()));
    }

    fn has(&self, name: &str) -> bool {
        self.says.contains_key(name)
    }

    fn wrong(&self, name: &str, why: &str) -> String {
        let file = self.files.get(name).map_or("", String::as_str);
        let line = self.says.get(name).map_or(0, |value| value.line);
        format!("{file}:{line}: {name} of the profile {}: {why}", self.name)
    }

    fn unbuilt(&self, name: &str) -> String {
        self.wrong(name, &format!("not built in; {INSTEAD}"))
    }

    /// A value that can be a key.
    fn key(&self, name: &str, other: &str) -> Result<String, String> {
        let Some(value) = self.says.get(name) else {
            return Err(self.wrong(other, &format!("there is no {name} beside it")));
        };
        let fits = keys::fits(&name.to_ascii_uppercase(), &value.text);
        match value.text.is_empty() || !fits {
            true => Err(self.wrong(name, "it is empty, or has characters that no key has")),
            false => Ok(value.text.clone()),
        }
    }

    fn region(&self) -> Result<(), String> {
        let value = self.says.get("region");
        match value.is_none_or(|value| keys::fits(keys::REGION, &value.text)) {
            true => Ok(()),
            false => Err(self.wrong("region", "it has characters that no region has")),
        }
    }

    /// Whom it says to be, in the order of the AWS tools.
    fn source(&self) -> Result<Source, String> {
        if self.has(ROLE) || self.has(TOKEN_FILE) {
            return self.role();
        }
        if let Some(name) = SIGN_IN.into_iter().find(|name| self.has(name)) {
            return Err(self.unbuilt(name));
        }
        if self.has(KEY_ID) || self.has(KEY) {
            let token = self.has(TOKEN).then(|| self.key(TOKEN, TOKEN));
            return Ok(Source::Keys(AwsCredential {
                key_id: self.key(KEY_ID, KEY)?,
                secret_key: self.key(KEY, KEY_ID)?,
                token: token.transpose()?,
            }));
        }
        match self.has(PROCESS) {
            true => Err(self.unbuilt(PROCESS)),
            false => Ok(Source::None),
        }
    }

    fn role(&self) -> Result<Source, String> {
        if let Some(name) = FOR_ROLES.into_iter().find(|name| self.has(name)) {
            return Err(self.unbuilt(name));
        }
        let text = |name, other| match self.says.get(name) {
            Some(value) => Ok(value.text.clone()),
            None => Err(self.wrong(other, &format!("there is no {name} beside it; {INSTEAD}"))),
        };
        let session = self.says.get("role_session_name");
        Ok(Source::Role([
            ("AWS_ROLE_ARN", text(ROLE, TOKEN_FILE)?),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(TOKEN_FILE, ROLE)?),
            (
                "AWS_ROLE_SESSION_NAME",
                session.map_or_else(|| "freshet".to_owned(), |value| value.text.clone()),
            ),
        ]))
    }
}

impl Ledger for Files {
    fn written(&self) -> Written {
        let paths: Vec<_> = self.both().map(|file| file.path.as_str()).collect();
        Mounted::at("").written(&paths)
    }

    fn read(&self) -> Result<AwsCredential, String> {
        match self
            .profile()?
            .map(|profile| profile.source())
            .transpose()?
        {
            Some(Source::Keys(keys)) => Ok(keys),
            _ => Err(format!(
                "{} have no keys any more of the profile {}",
                self.shown(),
                self.profile
            )),
        }
    }
}

#[cfg(test)]
mod tests;
