//! What follows a job when its assets are done: the HTTP notice, mail, the publish job.
//!
//! What is due is recorded together with the end of the job and struck off once it is done, so a process that dies in
//! between loses nothing: the next `--resume` does what is left, at worst a second time.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{mail, notice};
use crate::catalog::{Due, Handle, JobLog, Library, LogEntry, LogPage, LogType};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::job::{EmailSetting, PublishJob, ReprocessAssets};

/// What a job asks for.
#[derive(Debug, Clone, Copy)]
pub struct FollowOn<'a> {
    /// The element with the address, and the address.
    notice: Option<(&'static str, &'a str)>,
    email: EmailSetting,
    publish: bool,
    only_if_files: bool,
}

impl<'a> FollowOn<'a> {
    pub fn of_job(job: &'a ReprocessAssets) -> Self {
        FollowOn {
            notice: job.post_http_url.as_deref().map(|url| ("postHttpUrl", url)),
            email: job.email,
            publish: job.publish.is_some(),
            only_if_files: job.post_job_only_if_files,
        }
    }

    pub fn of_publish(job: &'a PublishJob) -> Self {
        FollowOn {
            notice: job.http_completion_url.as_deref().map(|url| ("httpCompletionUrl", url)),
            email: job.email,
            publish: false,
            only_if_files: false,
        }
    }

    /// What of it is due now that the assets of `job` are done, or that it was cut short for good.
    ///
    /// # Errors
    /// `Misuse` for an unknown job.
    pub fn due(&self, library: &Library, job: &Handle, cut_short: bool) -> Result<Vec<Due>> {
        let log = library.job_log_page(job, LogPage { offset: 0, limit: 0 })?;
        let allowed = !self.only_if_files || log.file_success_count > 0;
        let mut due = Vec::new();
        if self.notice.is_some() && allowed {
            due.push(Due::Notice);
        }
        if wants_mail(self.email, &log, cut_short) {
            due.push(Due::Mail);
        }
        if self.publish && allowed {
            due.push(Due::Publish);
        }
        Ok(due)
    }
}

/// Whether mail is sent about a job that ended like this.
fn wants_mail(setting: EmailSetting, log: &JobLog, cut_short: bool) -> bool {
    let errors = log.file_error_count + log.transfer_error_count > 0 || cut_short;
    match setting {
        EmailSetting::All | EmailSetting::JobCompletion => true,
        EmailSetting::Error => errors,
        EmailSetting::ErrorAndWarning => errors || log.file_warning_count > 0,
        EmailSetting::None => false,
    }
}

/// Sends the notice and the mail that are due for `job`. What cannot be delivered is a warning, in the log and in the
/// answer; what `stop` interrupts stays due.
///
/// # Errors
/// `Catalog`.
pub fn settle(library: &mut Library, job: &Handle, follow: &FollowOn<'_>, stop: &AtomicBool) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let settings = library.settings()?;
    for due in library.due(job)? {
        let (what, sent) = match (due, follow.notice) {
            (Due::Notice, Some((element, url))) => {
                let log = library.job_log_page(job, LogPage { offset: 0, limit: 0 })?;
                let text = serde_json::to_string(&log).map_err(|e| {
                    Error::new(ErrorKind::Internal, Stage::Job, format!("cannot be written as JSON: {e}"))
                })?;
                (format!("{element}: the notice was not delivered"), notice::post(url, &text, &settings, stop))
            }
            // The address was not kept, since it held a password.
            (Due::Notice, None) => (String::from("the notice was not delivered"), notice::no_address()),
            (Due::Mail, _) => {
                let log = library.job_log(job)?;
                (String::from("emailSetting: the mail was not sent"), mail::report(&settings, &log, follow.email, stop))
            }
            (Due::Publish, _) => continue,
        };
        match sent {
            Err(_) if stop.load(Ordering::Relaxed) => break,
            Err(error) => {
                let warning = format!("{what}: {}", error.message);
                library.log(job, &[LogEntry::new(LogType::UploadWarning, warning.clone())])?;
                warnings.push(warning);
            }
            Ok(()) => {}
        }
        library.settle_due(job, due)?;
    }
    Ok(warnings)
}
