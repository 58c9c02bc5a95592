//! Mail about a job: what was done, with errors and warnings, as text and as HTML.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

use super::{notice, retry};
use crate::catalog::{JobLog, LogEntry, Settings, Severity};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::EmailSetting;
use crate::report::Text;

/// For every step of the conversation with the server.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pauses before the second and third attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];
/// Most entries of the log that a mail repeats.
const MAX_ENTRIES: usize = 200;

/// Sends the mail about a job to its user: three attempts, unless the server says that more are no use.
///
/// # Errors
/// `Misuse` for settings that are missing or cannot be used, `Io` when the server cannot be reached or refuses.
pub fn report(settings: &Settings, log: &JobLog, setting: EmailSetting, stop: &AtomicBool) -> Result<()> {
    let misuse = |why: String| Error::misuse(Stage::Job, why);
    for (name, value) in [("mailServer", &settings.mail_server), ("mailFrom", &settings.mail_from)] {
        if value.is_empty() {
            return Err(misuse(format!("the setting {name} is empty; `reprise settings LIB {name} …` sets it")));
        }
    }
    if log.submit_user_email.is_empty() {
        return Err(misuse("nobody to write to is known; `reprise settings LIB mailTo …` sets the address".into()));
    }
    let mailbox = |name: &str, address: &str| -> Result<Mailbox> {
        address.parse().map_err(|e| misuse(format!("the address in {name} cannot be used: {e}")))
    };
    let message = Message::builder()
        .from(mailbox("mailFrom", &settings.mail_from)?)
        .to(mailbox("mailTo", &log.submit_user_email)?)
        .subject(subject(log))
        .multipart(MultiPart::alternative_plain_html(text(log, setting), html(log, setting)))
        .map_err(|e| misuse(format!("the mail cannot be put together: {e}")))?;
    let transport = transport(settings)?;
    let mut pauses = PAUSES.iter();
    loop {
        let Err(error) = transport.send(&message) else { return Ok(()) };
        match pauses.next() {
            Some(&pause) if !error.is_permanent() && !error.is_client() && retry::wait(pause, stop) => {}
            _ => {
                let why = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(": ");
                return Err(Error::new(ErrorKind::Io, Stage::Job, format!("the mail server: {why}")));
            }
        }
    }
}

/// The server as `mailServer` names it: `smtps://` speaks TLS from the start, `smtp://` begins it with STARTTLS and
/// does without only where the address says so with `smtp+plain://`.
fn transport(settings: &Settings) -> Result<SmtpTransport> {
    let misuse = |why: String| Error::misuse(Stage::Job, why);
    let (scheme, host, port) = settings.mail_server()?;
    let mut builder = SmtpTransport::builder_dangerous(&host).port(port).timeout(Some(TIMEOUT));
    if scheme != "smtp+plain" {
        let mut parameters = TlsParameters::builder(host);
        if let Some(roots) = notice::roots(settings)? {
            parameters = parameters.certificate_store(CertificateStore::None);
            for root in roots {
                let root = Certificate::from_der(root).map_err(|e| misuse(format!("a root in tlsRoots: {e}")))?;
                parameters = parameters.add_root_certificate(root);
            }
        }
        let parameters = parameters.build_rustls().map_err(|e| misuse(format!("TLS cannot be set up: {e}")))?;
        builder = builder.tls(if scheme == "smtps" { Tls::Wrapper(parameters) } else { Tls::Required(parameters) });
    }
    if !settings.mail_user.is_empty() {
        if scheme == "smtp+plain" {
            return Err(misuse("mailUser is set, and a password is not sent to a server without TLS".into()));
        }
        builder = builder.credentials(Credentials::new(settings.mail_user.clone(), settings.mail_password()?));
    }
    Ok(builder.build())
}

fn subject(log: &JobLog) -> String {
    let state = match (log.fatal_error, log.file_error_count) {
        (true, _) => String::from("cut short"),
        (false, 0) => String::from("done"),
        (false, errors) => format!("{errors} failed"),
    };
    // A line break in a name would begin another header.
    let name: String = log.job_name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{name} ({}): {state}", log.job_handle)
}

fn facts(log: &JobLog) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Job", format!("{} ({})", log.job_name, log.job_handle)),
        ("Began", format!("{:.0}", log.start_date)),
        ("Ended", log.end_date.map_or(String::from("–"), |end| format!("{end:.0}"))),
        ("Assets", log.total_file_count.to_string()),
        ("Done", log.file_success_count.to_string()),
        ("Failed", log.file_error_count.to_string()),
        ("With warnings", log.file_warning_count.to_string()),
    ];
    if !log.description.is_empty() {
        facts.insert(1, ("Description", log.description.clone()));
    }
    if log.transfer_success_count + log.transfer_error_count > 0 {
        facts.push(("Files sent", log.transfer_success_count.to_string()));
        facts.push(("Files not sent", log.transfer_error_count.to_string()));
    }
    facts
}

/// One line of the log that the mail repeats.
struct Line<'a> {
    severity: Severity,
    subject: String,
    message: &'a str,
}

/// Errors and warnings, or with `All` everything; and how many more there are.
fn lines(log: &JobLog, setting: EmailSetting) -> (Vec<Line<'_>>, usize) {
    let least = if setting == EmailSetting::All { Severity::Info } else { Severity::Warning };
    let of = |entry: &LogEntry| {
        let handle = entry.asset_handle.as_ref().map_or(String::new(), ToString::to_string);
        [handle.as_str(), entry.asset_name.as_deref().unwrap_or("")].join(" ").trim().to_owned()
    };
    let mut found = Vec::new();
    for entry in &log.detail_array {
        let all =
            std::iter::once((entry.log_type, &entry.message)).chain(entry.aux.iter().map(|a| (a.log_type, &a.message)));
        for (log_type, message) in all.filter(|(log_type, _)| log_type.severity() >= least) {
            found.push(Line { severity: log_type.severity(), subject: of(entry), message });
        }
    }
    let more = found.len().saturating_sub(MAX_ENTRIES);
    found.truncate(MAX_ENTRIES);
    (found, more)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn text(log: &JobLog, setting: EmailSetting) -> String {
    let mut out = String::new();
    for (term, value) in facts(log) {
        let _ = writeln!(out, "{:<14} {value}", format!("{term}:"));
    }
    let (lines, more) = lines(log, setting);
    if !lines.is_empty() {
        out.push('\n');
    }
    for Line { severity, subject, message } in lines {
        let _ = writeln!(out, "{:<8} {subject}: {message}", word(severity));
    }
    if more > 0 {
        let _ = writeln!(out, "… and {more} more");
    }
    let _ = writeln!(out, "\nThe whole log: reprise log LIB '{}'", log.job_handle);
    out
}

fn html(log: &JobLog, setting: EmailSetting) -> String {
    let mut out = String::from("<!doctype html><html lang=\"en\"><body style=\"font-family:sans-serif\"><table>\n");
    for (term, value) in facts(log) {
        let _ = writeln!(out, "<tr><th align=\"left\">{term}</th><td>{}</td></tr>", Text(&value));
    }
    out.push_str("</table>\n");
    let (lines, more) = lines(log, setting);
    if !lines.is_empty() {
        out.push_str("<ul>\n");
        for Line { severity, subject, message } in lines {
            let color = match severity {
                Severity::Info => "inherit",
                Severity::Warning => "#8a5a00",
                Severity::Error => "#b00020",
            };
            let _ = writeln!(out, "<li style=\"color:{color}\"><b>{}</b> {}</li>", Text(&subject), Text(message));
        }
        out.push_str("</ul>\n");
    }
    if more > 0 {
        let _ = writeln!(out, "<p>… and {more} more</p>");
    }
    let _ = writeln!(out, "<p>The whole log: <code>reprise log LIB '{}'</code></p></body></html>", log.job_handle);
    out
}
