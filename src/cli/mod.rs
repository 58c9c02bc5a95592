//! The command line: arguments in, words and exit codes out. The only place that prints.

mod args;
mod convert;
mod doctor;
mod inspect;
mod library;
mod life;
mod metrics;
mod output;
mod presets;
mod publish;
mod run;
mod scheduler;
mod signals;
mod worker;

use std::process::ExitCode;

use clap::Parser;
use reprise::{Error, ErrorKind, Stage, trace};

use args::{Cli, Command, ProjectAction, ScheduleAction};
use reprise::engine::check::CheckOptions;

/// How a command that could be carried out ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Exit code 0.
    AllGood,
    /// Exit code 1: the rest is done.
    SomeFailed,
    /// Exit code 130: a signal ended it.
    Stopped,
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let traced = match &cli.command {
        Command::Run(args) => args.machine.trace.as_deref(),
        Command::Convert(args) => args.machine.trace.as_deref(),
        _ => None,
    };
    let done = traced.map_or(Ok(()), trace::start).and_then(|()| carry_out(&cli.command));
    match trace::finish().and(done) {
        Ok(Verdict::AllGood) => ExitCode::SUCCESS,
        Ok(Verdict::SomeFailed) => ExitCode::from(1),
        Ok(Verdict::Stopped) => ExitCode::from(signals::EXIT_CODE),
        Err(error) => {
            output::complain(format_args!("error: {error}"));
            ExitCode::from(exit_code(&error))
        }
    }
}

fn carry_out(command: &Command) -> reprise::Result<Verdict> {
    match command {
        Command::Init { library } => library::init(library),
        Command::Ingest { library, paths } => library::ingest(library, paths),
        Command::Assets { library, json } => library::assets(library, *json),
        Command::Run(args) => run::run(args),
        Command::Log { library, job: Some(job), json, follow: true } => library::follow(library, job, *json),
        Command::Log { library, job, json, .. } => library::log(library, job.as_deref(), *json),
        Command::Jobs { library, json } => library::jobs(library, *json),
        Command::Check { library, pixels, hash, repair } => {
            life::check(library, CheckOptions { pixels: *pixels, hash: *hash, repair: *repair })
        }
        Command::Settings { library, name, value } => life::settings(library, name.as_deref(), value.as_deref()),
        Command::Projects { library, action: None } => life::list_projects(library),
        Command::Projects { library, action: Some(ProjectAction::Add { name }) } => life::add_project(library, name),
        Command::Sets { library, json } => library::sets(library, *json),
        Command::Presets { library, action } => presets::presets(library, action.as_ref()),
        Command::Scheduler(args) => scheduler::scheduler(args),
        Command::Schedules { library, json, action: None } => scheduler::list(library, *json),
        Command::Schedules { library, action: Some(ScheduleAction::Remove { name }), .. } => {
            scheduler::remove(library, name)
        }
        Command::Publish(args) => publish::publish(args),
        Command::Convert(args) => convert::convert(args),
        Command::CropRect(args) => inspect::crop_rect(args),
        Command::Validate { files, pixels, fail_fast } => inspect::validate(files, *pixels, *fail_fast),
        Command::Doctor => doctor::doctor(),
        Command::RipWorker { document, inks } => worker::serve(document, *inks),
    }
}

/// 2 when the command or the job was not usable, 3 when nothing could be done.
fn exit_code(error: &Error) -> u8 {
    match (error.stage, error.kind) {
        (Stage::Job, _) | (_, ErrorKind::Misuse | ErrorKind::Malformed | ErrorKind::Unsupported | ErrorKind::Limit) => {
            2
        }
        (_, ErrorKind::Device | ErrorKind::Io | ErrorKind::Catalog | ErrorKind::Internal) => 3,
    }
}
