//! Settings of the company: by name, each with its own rule.

use serde::Serialize;

use crate::error::{Error, Result, Stage};

/// Settings of the company. Passwords are not among them: only where they are to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Whether reprocessing keeps publish marks when the job does not say; false from the start.
    pub retain_publish_state: bool,
    /// Whether notices may go to private and loopback addresses; false from the start.
    pub allow_private_notices: bool,
    /// PEM file with the roots that TLS connections trust; empty: those of the web.
    pub tls_roots: String,
    /// `smtps://host:port` (TLS), `smtp://host:port` (STARTTLS) or `smtp+plain://host:port`; empty: no mail.
    pub mail_server: String,
    /// Address that mail comes from.
    pub mail_from: String,
    /// Address of who submits jobs.
    pub mail_to: String,
    /// Addresses of other users: `u|1=ann@example.com, u|2=…`.
    pub mail_users: String,
    /// Name to log in with at the mail server; empty: none.
    pub mail_user: String,
    /// Where the password is: `env:NAME` or `file:/path`.
    pub mail_password: String,
    /// Handles of the ICC profiles of gray, RGB and CMYK images that carry none; empty: the built-in ones.
    pub source_profile_gray: String,
    pub source_profile_rgb: String,
    pub source_profile_cmyk: String,
    /// Handle of the ICC profile that conversions lead to when the job names none; empty: sRGB.
    pub output_profile: String,
}

/// What a setting holds.
enum Field<'a> {
    Flag(&'a mut bool),
    Text(&'a mut String, fn(&str) -> std::result::Result<(), &'static str>),
}

impl Settings {
    pub const SOURCE_PROFILE_GRAY: &'static str = "sourceProfileGray";
    pub const SOURCE_PROFILE_RGB: &'static str = "sourceProfileRgb";
    pub const SOURCE_PROFILE_CMYK: &'static str = "sourceProfileCmyk";
    pub const OUTPUT_PROFILE: &'static str = "outputProfile";

    pub const NAMES: &'static [&'static str] = &[
        "retainPublishState",
        "allowPrivateNotices",
        "tlsRoots",
        "mailServer",
        "mailFrom",
        "mailTo",
        "mailUsers",
        "mailUser",
        "mailPassword",
        Self::SOURCE_PROFILE_GRAY,
        Self::SOURCE_PROFILE_RGB,
        Self::SOURCE_PROFILE_CMYK,
        Self::OUTPUT_PROFILE,
    ];

    fn field(&mut self, name: &str) -> Result<Field<'_>> {
        Ok(match name {
            "retainPublishState" => Field::Flag(&mut self.retain_publish_state),
            "allowPrivateNotices" => Field::Flag(&mut self.allow_private_notices),
            "tlsRoots" => Field::Text(&mut self.tls_roots, |value| {
                if value.starts_with('/') { Ok(()) } else { Err("it is the absolute path of a PEM file") }
            }),
            "mailServer" => Field::Text(&mut self.mail_server, |value| parse_server(value).map(drop)),
            "mailFrom" => Field::Text(&mut self.mail_from, check_address),
            "mailTo" => Field::Text(&mut self.mail_to, check_address),
            "mailUsers" => Field::Text(&mut self.mail_users, |value| users(value).try_for_each(|user| user.map(drop))),
            "mailUser" => Field::Text(&mut self.mail_user, |_| Ok(())),
            "mailPassword" => Field::Text(&mut self.mail_password, |value| match value.split_once(':') {
                Some(("env" | "file", place)) if !place.is_empty() => Ok(()),
                _ => Err("it says where the password is, env:NAME or file:/path, and is never the password itself"),
            }),
            // Whether there is such a profile is asked by those who can read it.
            Self::SOURCE_PROFILE_GRAY => Field::Text(&mut self.source_profile_gray, |_| Ok(())),
            Self::SOURCE_PROFILE_RGB => Field::Text(&mut self.source_profile_rgb, |_| Ok(())),
            Self::SOURCE_PROFILE_CMYK => Field::Text(&mut self.source_profile_cmyk, |_| Ok(())),
            Self::OUTPUT_PROFILE => Field::Text(&mut self.output_profile, |_| Ok(())),
            _ => {
                let known = Settings::NAMES.join(", ");
                return Err(Error::misuse(Stage::Catalog, format!("there is no setting {name:?}; there are {known}")));
            }
        })
    }

    /// A setting by name, as text.
    ///
    /// # Errors
    /// `Misuse` for an unknown name.
    pub fn get(&self, name: &str) -> Result<String> {
        Ok(match self.clone().field(name)? {
            Field::Flag(flag) => flag.to_string(),
            Field::Text(text, _) => text.clone(),
        })
    }

    /// Changes a setting by name; text that is empty unsets it.
    ///
    /// # Errors
    /// `Misuse` for an unknown name or a value that the setting cannot have.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let refuse = |why: String| Error::misuse(Stage::Catalog, why);
        match self.field(name)? {
            Field::Flag(flag) => {
                *flag = value
                    .parse()
                    .map_err(|_| refuse(format!("the setting {name} is {value:?}; it can be true or false")))?;
            }
            Field::Text(text, check) => {
                if !value.is_empty() {
                    // The value is not repeated: it may be a secret in the wrong place.
                    check(value).map_err(|why| refuse(format!("the setting {name}: {why}")))?;
                }
                value.clone_into(text);
            }
        }
        Ok(())
    }

    /// Scheme, host and port of the mail server.
    ///
    /// # Errors
    /// `Misuse` when none is set.
    pub fn mail_server(&self) -> Result<(&str, String, u16)> {
        parse_server(&self.mail_server)
            .map_err(|why| Error::misuse(Stage::Job, format!("the setting mailServer: {why}")))
    }

    /// The password for the mail server, from where the setting says.
    ///
    /// # Errors
    /// `Misuse` when it is not there. The message does not hold it.
    pub fn mail_password(&self) -> Result<String> {
        let refuse = |why: String| Error::misuse(Stage::Job, format!("the setting mailPassword: {why}"));
        match self.mail_password.split_once(':') {
            Some(("env", name)) => std::env::var(name).map_err(|_| refuse(format!("there is no variable {name}"))),
            Some(("file", path)) => std::fs::read_to_string(path)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|e| refuse(format!("{path}: {e}"))),
            _ => Err(refuse("it is empty, and mailUser is set".into())),
        }
    }

    /// Whom a job of `user` writes to: that user, or without one the submitter.
    pub fn address_of(&self, user: Option<&str>) -> String {
        let Some(user) = user else { return self.mail_to.clone() };
        let named = users(&self.mail_users).flatten().find(|(handle, _)| *handle == user);
        named.map_or_else(String::new, |(_, address)| address.to_owned())
    }
}

fn parse_server(value: &str) -> std::result::Result<(&str, String, u16), &'static str> {
    const FORM: &str = "it has the form smtps://host, smtp://host or smtp+plain://host, with :port if need be";
    let (scheme, rest) = value.split_once("://").ok_or(FORM)?;
    let port = match scheme {
        "smtps" => 465,
        "smtp" => 587,
        "smtp+plain" => 25,
        _ => return Err(FORM),
    };
    if rest.contains(['@', '/', '?', '#', ' ']) {
        return Err("it holds more than host and port; user and password are settings of their own");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, text)) if !text.ends_with(']') => (host, text.parse().map_err(|_| FORM)?),
        _ => (rest, port),
    };
    if host.is_empty() { Err(FORM) } else { Ok((scheme, host.to_owned(), port)) }
}

fn check_address(value: &str) -> std::result::Result<(), &'static str> {
    let address = value.rsplit_once('<').map_or(value, |(_, address)| address.trim_end_matches('>'));
    match address.split_once('@') {
        Some((user, host)) if !user.is_empty() && !host.is_empty() && !value.contains(['\r', '\n']) => Ok(()),
        _ => Err("it is a mail address such as ann@example.com"),
    }
}

/// The users of `mailUsers`: handle and address.
fn users(value: &str) -> impl Iterator<Item = std::result::Result<(&str, &str), &'static str>> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| {
        let (handle, address) = item.split_once('=').ok_or("it has the form u|1=ann@example.com, u|2=…")?;
        if !handle.starts_with("u|") {
            return Err("handles of users begin with u|");
        }
        check_address(address).map(|()| (handle, address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_servers_have_a_scheme_a_host_and_a_port() {
        for (text, expected) in [
            ("smtps://mail.example.com", Some(("smtps", "mail.example.com", 465))),
            ("smtp://mail.example.com", Some(("smtp", "mail.example.com", 587))),
            ("smtp+plain://127.0.0.1:2525", Some(("smtp+plain", "127.0.0.1", 2525))),
            ("mail.example.com", None),
            ("http://mail.example.com", None),
            ("smtp://me:word@mail.example.com", None),
            ("smtp://mail.example.com:port", None),
            ("smtp://:25", None),
        ] {
            let parsed = parse_server(text).ok();
            assert_eq!(parsed, expected.map(|(scheme, host, port)| (scheme, host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn users_have_addresses_of_their_own() {
        let mut settings = Settings::default();
        settings.set("mailTo", "Shop <shop@example.com>").unwrap();
        settings.set("mailUsers", "u|1=ann@example.com, u|12=bob@example.com").unwrap();
        assert_eq!(settings.address_of(None), "Shop <shop@example.com>");
        assert_eq!(settings.address_of(Some("u|12")), "bob@example.com");
        assert_eq!(settings.address_of(Some("u|2")), "");
        for wrong in ["ann@example.com", "u|1=ann", "p|1=ann@example.com"] {
            assert!(settings.set("mailUsers", wrong).is_err(), "{wrong}");
        }
        for wrong in ["sesame", "env:", "file:"] {
            let error = settings.set("mailPassword", wrong).unwrap_err();
            assert!(!error.to_string().contains("sesame"), "{error}");
        }
    }
}
