//! Presets that name a place to publish to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Preset, PresetKind, misuse};
use crate::error::Result;

/// Schemes of [`PublishContext::url`].
const SCHEMES: [&str; 4] = ["file://", "s3://", "gs://", "az://"];

/// Options that may stand in a preset. Keys, tokens and passwords may not: those come from the environment.
const OPTIONS: [&str; 7] = [
    "region",
    "endpoint",
    "allow_http",
    "virtual_hosted_style_request",
    "storage_class",
    "account_name",
    "use_emulator",
];

/// Where a publish job sends files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishContext {
    pub kind: PresetKind,
    pub name: String,
    /// `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Of the object store; see [`OPTIONS`].
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl PublishContext {
    /// What tells this place from all others, whatever it is called.
    pub fn address(&self) -> String {
        let options = ["endpoint", "account_name"].into_iter().filter_map(|option| self.options.get(option));
        std::iter::once(&self.url).chain(options).map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl Preset for PublishContext {
    const KIND: PresetKind = PresetKind::PublishContext;

    fn check(&self) -> Result<()> {
        let Some(rest) = SCHEMES.iter().find_map(|scheme| self.url.strip_prefix(scheme)) else {
            return Err(misuse(format!("url begins with none of {}", SCHEMES.join(", "))));
        };
        if rest.contains(['@', '?', '#']) {
            // Not repeated: it may hold a secret.
            return Err(misuse(
                "url holds a user, a password, a query or a fragment; credentials come from the environment",
            ));
        }
        if rest.is_empty() || self.url.starts_with("file://") && !rest.starts_with('/') {
            return Err(misuse(format!(
                "url is {:?}; after the scheme comes a bucket, or for file:// an absolute path",
                self.url
            )));
        }
        match self.options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(misuse(format!(
                "options has {key:?}; allowed are {}; credentials come from the environment",
                OPTIONS.join(", ")
            ))),
        }
    }
}
