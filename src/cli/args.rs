//! Arguments as typed, and how each becomes a typed value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use reprise::encode::ptiff::{self, Chroma, Compression, Layout};
use reprise::engine::color::Defaults;
use reprise::engine::{BackendChoice, ColorPolicy, Conversion, Crop, Recipe, memory};
use reprise::geometry::{Corner, Insets};
use reprise::job::{EmailSetting, PublishJob, PublishTarget, PublishType};
use reprise::ops::color::{Builtin, Intent, Profile, Rendering};
use reprise::ops::crop_detect::Background;
use reprise::ops::knockout::{Fill, Knockout};
use reprise::ops::resample::Filter;
use reprise::ops::unsharp::Unsharp;
use reprise::{media, rip};
use serde::{Deserialize, Serialize};

#[derive(Debug, Parser)]
#[command(name = "reprise", version, about, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all good; 1 some assets failed, the rest is done; 2 the command or job \
was not usable; 3 nothing could be done (library locked, disk full); 130 stopped by a signal.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new, empty library
    Init {
        /// Folder to make
        library: PathBuf,
    },
    /// Take originals into a library and print their handles
    ///
    /// Kinds are recognised by content, whatever the file is called. Originals stay where they are; the library
    /// records path, size and content hash. A second ingest of the same file changes nothing.
    Ingest {
        library: PathBuf,
        /// Files, or folders that are searched through
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// List the assets of a library
    Assets {
        library: PathBuf,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Run a ReprocessAssetsJob
    ///
    /// Every asset of the job gets its pyramid TIFF anew. One that fails keeps the derivative it had, and the
    /// others go on.
    Run(RunArgs),
    /// Show the log of a job, or the list of jobs
    Log {
        library: PathBuf,
        /// Job handle, for example j|1; without it, the jobs are listed
        job: Option<String>,
        #[arg(long)]
        json: bool,
        /// Print entries as they are written, until the job ends
        #[arg(long, requires = "job")]
        follow: bool,
    },
    /// List the jobs of a library
    Jobs {
        library: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Compare the catalog with the files
    ///
    /// Names derivatives that are lost, damaged or unknown, originals that are gone or have changed, files that were
    /// left half-written, and jobs whose process died. Exit code 0: they agree; 1: there are problems.
    Check {
        library: PathBuf,
        /// Decode every pixel of every pyramid
        #[arg(long)]
        pixels: bool,
        /// Compare the content of originals, pyramids and masks with the recorded hashes
        #[arg(long)]
        hash: bool,
        /// Remove half-written files, take lost pyramids off the record so that the next job makes them anew, and
        /// record dead jobs as cut short. Never removes an original or a whole pyramid
        #[arg(long)]
        repair: bool,
    },
    /// Show or change the settings of a library
    Settings {
        library: PathBuf,
        /// Setting to show; without it, all are shown
        name: Option<String>,
        /// New value
        value: Option<String>,
    },
    /// List the projects of a library, or add one
    Projects {
        library: PathBuf,
        #[command(subcommand)]
        action: Option<ProjectAction>,
    },
    /// List the sets of a library with their members
    Sets {
        library: PathBuf,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// List the presets of a library, or add, show or remove one
    ///
    /// Jobs name presets by their handles: how sets are made, where to publish.
    Presets {
        library: PathBuf,
        #[command(subcommand)]
        action: Option<PresetAction>,
    },
    /// Run the jobs of a library that have an execTime or execSchedule, at their times
    ///
    /// One at a time, until a signal. Times that passed while it was not running are made up for by one run.
    Scheduler(SchedulerArgs),
    /// List the jobs that wait for their time, or remove one
    Schedules {
        library: PathBuf,
        #[arg(long)]
        json: bool,
        #[command(subcommand)]
        action: Option<ScheduleAction>,
    },
    /// Send marked assets and what depends on them to a publish context
    ///
    /// The manifest, which names every file, is written last. A job that was cut short goes on with `run --resume`.
    Publish(PublishArgs),
    /// Convert images to pyramid TIFFs without a library
    ///
    /// With one input file, OUT may be the new file; otherwise OUT is a folder, and folders given as input keep
    /// their structure in it.
    #[command(override_usage = "reprise convert [OPTIONS] <IN>... <OUT>")]
    Convert(ConvertArgs),
    /// Print the rectangle that automatic cropping would keep: xOffset yOffset width height
    CropRect(CropRectArgs),
    /// Check pyramid TIFFs and originals
    Validate {
        /// Files, or folders that are searched through
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Decode every pixel of every level, not only headers and structure
        #[arg(long)]
        pixels: bool,
        /// Stop at the first file with an error
        #[arg(long)]
        fail_fast: bool,
    },
    /// Say what this machine offers and what each missing thing costs
    Doctor,
    /// Draw pages of one document for another `reprise`, which asks through a pipe
    #[command(hide = true, name = reprise::rip::pdf::WORKER_COMMAND)]
    RipWorker {
        document: PathBuf,
        /// Say which pages are in CMYK, and draw nothing
        #[arg(long)]
        inks: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ProjectAction {
    /// Add a project and print its handle
    Add { name: String },
}

#[derive(Debug, Subcommand)]
pub enum PresetAction {
    /// Read presets from TOML or JSON files and print their handles; one of the same kind and name is replaced
    Add {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print a preset as JSON
    Show { preset: String },
    /// Remove a preset; what was made by it stays
    Remove { preset: String },
}

#[derive(Debug, Subcommand)]
pub enum ScheduleAction {
    /// Remove the schedule of this name
    Remove { name: String },
}

#[derive(Debug, Args)]
pub struct SchedulerArgs {
    pub library: PathBuf,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub failures: FailureArgs,
    #[command(flatten)]
    pub documents: DocumentArgs,
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Answer Prometheus at http://ADDRESS/metrics, for example 127.0.0.1:9184
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Write no HTML reports
    #[arg(long)]
    pub no_report: bool,
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    pub library: PathBuf,
    /// What is published: pyramids and masks, or videos
    #[arg(long, value_enum, default_value = "image-serving")]
    pub target: TargetName,
    /// Of image serving: full sends everything, incremental only what is not there yet
    #[arg(long = "type", value_enum, default_value = "incremental")]
    pub publish_type: PublishTypeName,
    /// Handle of the publish context; not needed where there is only one
    #[arg(long, value_name = "HANDLE")]
    pub context: Option<String>,
    /// Name of the job
    #[arg(long, default_value = "Publish")]
    pub name: String,
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetName {
    ImageServing,
    ImageRendering,
    Video,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PublishTypeName {
    Full,
    FullWithSearch,
    Incremental,
}

impl PublishArgs {
    pub fn job(&self) -> PublishJob {
        let target = match self.target {
            TargetName::ImageServing => PublishTarget::ImageServing(match self.publish_type {
                PublishTypeName::Full => PublishType::Full,
                PublishTypeName::FullWithSearch => PublishType::FullWithSearch,
                PublishTypeName::Incremental => PublishType::Incremental,
            }),
            TargetName::ImageRendering => PublishTarget::ImageRendering,
            TargetName::Video => PublishTarget::Video,
        };
        PublishJob { target, email: EmailSetting::None, http_completion_url: None, context: self.context.clone() }
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    pub library: PathBuf,
    /// Job document, XML or JSON; - reads standard input
    #[arg(required_unless_present_any = ["resume", "retry_failed"])]
    pub job: Option<PathBuf>,
    /// Finish a job that was cut short, with the options it began with; without a handle, the newest such job
    #[arg(long, value_name = "HANDLE", num_args = 0..=1, conflicts_with_all = ["job", "retry_failed", "dry_run"])]
    pub resume: Option<Option<String>>,
    /// Run a new job on the assets that failed in an earlier one, with the options it had
    #[arg(long, value_name = "HANDLE", conflicts_with = "job")]
    pub retry_failed: Option<String>,
    /// Wait here until the time that the job names in execTime; without it, the job is kept for `reprise scheduler`
    #[arg(long)]
    pub wait: bool,
    /// Validate everything and print what would be done for each asset; write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub failures: FailureArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub documents: DocumentArgs,
    /// How the log is printed while the job runs
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Answer Prometheus at http://ADDRESS/metrics while the job runs, for example 127.0.0.1:9184
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// HTML report to write; default: in the library's folder reports
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write no HTML report
    #[arg(long, conflicts_with = "report")]
    pub no_report: bool,
}

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Input files and folders, then the output
    #[arg(required = true, num_args = 2.., value_names = ["IN", "OUT"])]
    pub paths: Vec<PathBuf>,
    /// Sharpen the levels below full resolution: amount 0-5, radius 0-250 px, threshold 0-255, monochrome 0 or 1
    #[arg(long, value_name = "AMOUNT,RADIUS,THRESHOLD,MONOCHROME", value_parser = parse_unsharp)]
    pub unsharp: Option<Unsharp>,
    /// Pixels to cut from each side
    #[arg(long, value_name = "LEFT,RIGHT,TOP,BOTTOM", value_parser = parse_insets, conflicts_with = "auto_crop")]
    pub crop: Option<Insets>,
    /// Cut uniform borders: color:CORNER:TOLERANCE or alpha:TOLERANCE
    ///
    /// CORNER is UpperLeft, UpperRight, BottomLeft or BottomRight; TOLERANCE is 0-1 of full scale.
    #[arg(long, value_name = "RULE", value_parser = parse_background)]
    pub auto_crop: Option<Background>,
    /// Cut the image out by its Photoshop clipping path
    #[arg(long)]
    pub clip_path: bool,
    /// Make the background transparent: CORNER:TOLERANCE:flood or CORNER:TOLERANCE:match
    #[arg(long, value_name = "RULE", value_parser = parse_knockout)]
    pub knockout: Option<Knockout>,
    /// Resolution to write, in pixels per inch, instead of the source's
    #[arg(long, value_parser = parse_dpi)]
    pub dpi: Option<f64>,
    /// Drop XMP, IPTC and the texts of EXIF; the ICC profile stays
    #[arg(long)]
    pub strip: bool,
    /// Encode full resolution anew, even where a JPEG source could keep its own coefficients without loss
    #[arg(long)]
    pub reencode: bool,
    /// Replace output files that exist; without it they are left alone and reported
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub color: ColorArgs,
    #[command(flatten)]
    pub failures: FailureArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What is done about colours. Without any of it, CMYK becomes sRGB and all else keeps its profile.
#[derive(Debug, Args)]
#[command(next_help_heading = "Colour")]
pub struct ColorArgs {
    /// Convert nothing: CMYK stays CMYK
    #[arg(long, conflicts_with = "output_profile")]
    pub maintain_pixel_type: bool,
    /// ICC profile of images that carry none, as far as it fits their pixels
    #[arg(long, value_name = "FILE", value_parser = parse_profile)]
    pub source_profile: Option<Profile>,
    /// Convert every image to this profile: an ICC file, or srgb, adobe-rgb, gray or cmyk
    #[arg(long, value_name = "PROFILE", value_parser = parse_output_profile)]
    pub output_profile: Option<Profile>,
    /// Rendering intent of conversions
    #[arg(long, value_enum, default_value = "relative")]
    pub intent: IntentName,
    /// Convert without black-point compensation
    #[arg(long)]
    pub no_bpc: bool,
    /// Convert to 8 bits with ordered dithering
    #[arg(long)]
    pub dither: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IntentName {
    Perceptual,
    Relative,
    Saturation,
    Absolute,
}

impl ColorArgs {
    fn policy(&self) -> ColorPolicy {
        let conversion = match &self.output_profile {
            Some(output) => Conversion::All { source: None, output: Some(output.clone()) },
            None if self.maintain_pixel_type => Conversion::Never,
            None => Conversion::Cmyk,
        };
        let intent = match self.intent {
            IntentName::Perceptual => Intent::Perceptual,
            IntentName::Relative => Intent::Relative,
            IntentName::Saturation => Intent::Saturation,
            IntentName::Absolute => Intent::Absolute,
        };
        ColorPolicy {
            conversion,
            defaults: self.source_profile.clone().map(Defaults::of_source).unwrap_or_default(),
            rendering: Rendering { intent, black_point_compensation: !self.no_bpc },
            dither: self.dither,
        }
    }
}

#[derive(Debug, Args)]
pub struct CropRectArgs {
    /// Image to look at
    pub input: PathBuf,
    /// color:CORNER:TOLERANCE or alpha:TOLERANCE
    #[arg(long, value_name = "RULE", value_parser = parse_background, default_value = "color:UpperLeft:0")]
    pub auto_crop: Background,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// The pyramid TIFF to write. Kept with each job, for whoever resumes it.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[command(next_help_heading = "Pyramid TIFF")]
pub struct OutputArgs {
    /// auto: JPEG for 8-bit images that came as JPEG and have no alpha, deflate for the rest
    #[arg(long, default_value = "auto", value_parser = PossibleValuesParser::new(["auto", "none", "lzw", "deflate", "jpeg", "zstd"]))]
    pub compression: String,
    /// JPEG quality
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub quality: u8,
    /// JPEG chroma: 420 halves it both ways, 444 keeps every sample
    #[arg(long, default_value = "420", value_parser = PossibleValuesParser::new(["420", "444"]))]
    pub chroma: String,
    /// Tile side in pixels, a multiple of 16
    #[arg(long, default_value_t = 256, value_parser = parse_tile)]
    pub tile: u32,
    /// pages: levels in the main directory chain; subifd: below the first directory
    #[arg(long, default_value = "pages", value_parser = PossibleValuesParser::new(["pages", "subifd"]))]
    pub layout: String,
    /// Downsampling filter
    #[arg(long, default_value = "lanczos", value_parser = PossibleValuesParser::new(["lanczos", "box", "bicubic-sharper"]))]
    pub filter: String,
}

/// Bounds on documents, video and audio. Kept with each job, for whoever resumes it.
#[derive(Debug, Clone, PartialEq, Args, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[command(next_help_heading = "Documents and video")]
pub struct DocumentArgs {
    /// Most pages of one document
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_pages: u32,
    /// Most pixels of one page image
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_page_pixels: u64,
    /// How long one page may take to draw, and how long a video may go without progress
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    pub page_seconds: u32,
    /// Longest video or audio that is encoded, in minutes
    #[arg(long, value_name = "N", default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_minutes: u32,
}

/// What the work may use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// auto: a hardware GPU if there is one; gpu: any adapter, also a software one; cpu: no GPU
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: BackendName,
    /// Threads; default: one per core
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Memory for the whole program, for example 256M, 2G or 25% of what the machine has
    #[arg(long, value_name = "SIZE", default_value = "25%", value_parser = parse_memory)]
    pub max_memory: u64,
    /// Record what every thread and the GPU did when, for a trace viewer (Chrome trace format)
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Failures")]
pub struct FailureArgs {
    /// Go on after a failed asset (default)
    #[arg(long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// Start no further asset after the first failure
    #[arg(long)]
    pub fail_fast: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    Auto,
    Gpu,
    Cpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

impl OutputArgs {
    /// What applies when no option is given.
    pub fn defaults() -> Self {
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            output: OutputArgs,
        }
        Defaults::parse_from([""]).output
    }

    pub fn options(&self) -> ptiff::Options {
        ptiff::Options {
            compression: match self.compression.as_str() {
                "none" => Compression::None,
                "lzw" => Compression::Lzw,
                "deflate" => Compression::Deflate,
                "jpeg" => Compression::Jpeg,
                "zstd" => Compression::Zstd,
                _ => Compression::Auto,
            },
            quality: self.quality,
            chroma: if self.chroma == "444" { Chroma::Full } else { Chroma::Half },
            tile: self.tile,
            layout: if self.layout == "subifd" { Layout::SubIfd } else { Layout::Pages },
            ..ptiff::Options::default()
        }
    }

    pub fn filter(&self) -> Filter {
        match self.filter.as_str() {
            "box" => Filter::Box,
            "bicubic-sharper" => Filter::BicubicSharper,
            _ => Filter::Lanczos,
        }
    }
}

impl ConvertArgs {
    pub fn recipe(&self) -> Recipe {
        Recipe {
            clip_path: self.clip_path,
            mask: None,
            knockout: self.knockout,
            crop: self.crop.map(Crop::Insets).or(self.auto_crop.map(Crop::Auto)),
            color: self.color.policy(),
            filter: self.output.filter(),
            unsharp: self.unsharp,
            output: self.output.options(),
            dpi: self.dpi,
            strip: self.strip,
            reencode: self.reencode,
        }
    }
}

/// What applies when no option is given, and to jobs of versions that did not keep these.
impl Default for DocumentArgs {
    fn default() -> Self {
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            documents: DocumentArgs,
        }
        Defaults::parse_from([""]).documents
    }
}

/// The options that are kept with a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptArgs {
    #[serde(flatten)]
    pub output: OutputArgs,
    #[serde(default)]
    pub documents: DocumentArgs,
}

impl DocumentArgs {
    pub fn limits(&self) -> rip::Limits {
        rip::Limits {
            max_pages: self.max_pages,
            max_page_pixels: self.max_page_pixels,
            page_time: Duration::from_secs(self.page_seconds.into()),
            ..rip::Limits::default()
        }
    }

    pub fn media_limits(&self) -> media::Limits {
        media::Limits {
            stall_time: Duration::from_secs(self.page_seconds.into()),
            max_duration: Duration::from_secs(60 * u64::from(self.max_minutes)),
            ..media::Limits::default()
        }
    }
}

impl MachineArgs {
    pub fn backend(&self) -> BackendChoice {
        match self.backend {
            BackendName::Auto => BackendChoice::Auto,
            BackendName::Gpu => BackendChoice::Gpu,
            BackendName::Cpu => BackendChoice::Cpu,
        }
    }

    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

fn number<T>(text: &str, name: &str, allowed: std::ops::RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    match text.trim().parse::<T>() {
        Ok(value) if allowed.contains(&value) => Ok(value),
        _ => Err(format!("{name} is {text:?}; allowed is {} to {}", allowed.start(), allowed.end())),
    }
}

fn fields<const N: usize>(text: &str, separator: char, form: &str) -> Result<[String; N], String> {
    let parts: Vec<String> = text.split(separator).map(str::to_owned).collect();
    parts.try_into().map_err(|parts: Vec<_>| format!("has {} values; the form is {form}", parts.len()))
}

fn parse_unsharp(text: &str) -> Result<Unsharp, String> {
    let [amount, radius, threshold, monochrome] = fields(text, ',', "AMOUNT,RADIUS,THRESHOLD,MONOCHROME")?;
    Ok(Unsharp {
        amount: number(&amount, "AMOUNT", 0.0..=5.0)?,
        radius_px: number(&radius, "RADIUS", 0.0..=250.0)?,
        threshold: number(&threshold, "THRESHOLD", 0..=255)?,
        monochrome: number(&monochrome, "MONOCHROME", 0u8..=1)? == 1,
    })
}

fn parse_insets(text: &str) -> Result<Insets, String> {
    let [left, right, top, bottom] = fields(text, ',', "LEFT,RIGHT,TOP,BOTTOM")?;
    let side = |text: &str, name| number(text, name, 0..=i32::MAX as u32);
    Ok(Insets {
        left: side(&left, "LEFT")?,
        right: side(&right, "RIGHT")?,
        top: side(&top, "TOP")?,
        bottom: side(&bottom, "BOTTOM")?,
    })
}

fn parse_corner(text: &str) -> Result<Corner, String> {
    Ok(match text {
        "UpperLeft" => Corner::UpperLeft,
        "UpperRight" => Corner::UpperRight,
        "BottomLeft" => Corner::BottomLeft,
        "BottomRight" => Corner::BottomRight,
        _ => return Err(format!("corner is {text:?}; allowed are UpperLeft, UpperRight, BottomLeft, BottomRight")),
    })
}

fn parse_background(text: &str) -> Result<Background, String> {
    let form = "color:CORNER:TOLERANCE or alpha:TOLERANCE";
    match text.split_once(':') {
        Some(("color", rest)) => {
            let [corner, tolerance] = fields(rest, ':', form)?;
            Ok(Background::Color {
                corner: parse_corner(&corner)?,
                tolerance: number(&tolerance, "TOLERANCE", 0.0..=1.0)?,
            })
        }
        Some(("alpha", tolerance)) => {
            Ok(Background::Transparent { tolerance: number(tolerance, "TOLERANCE", 0.0..=1.0)? })
        }
        _ => Err(format!("the form is {form}")),
    }
}

fn parse_knockout(text: &str) -> Result<Knockout, String> {
    let [corner, tolerance, fill] = fields(text, ':', "CORNER:TOLERANCE:flood or CORNER:TOLERANCE:match")?;
    Ok(Knockout {
        corner: parse_corner(&corner)?,
        tolerance: number(&tolerance, "TOLERANCE", 0.0..=1.0)?,
        fill: match fill.as_str() {
            "flood" => Fill::FloodFill,
            "match" => Fill::MatchPixel,
            _ => return Err(format!("fill is {fill:?}; allowed are flood and match")),
        },
    })
}

fn parse_profile(file: &str) -> Result<Profile, String> {
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    Profile::new(&bytes).map_err(|e| e.message)
}

fn parse_output_profile(text: &str) -> Result<Profile, String> {
    if let Some(builtin) = Builtin::from_name(text) {
        return Ok(Profile::builtin(builtin).clone());
    }
    let profile = parse_profile(text)?;
    profile.check_output().map_err(|e| e.message)?;
    Ok(profile)
}

fn parse_dpi(text: &str) -> Result<f64, String> {
    number(text, "DPI", 1.0..=100_000.0)
}

fn parse_tile(text: &str) -> Result<u32, String> {
    let tile = number(text, "tile side", 16..=4096)?;
    if tile % 16 == 0 { Ok(tile) } else { Err(format!("tile side is {tile}; it must be a multiple of 16")) }
}

fn parse_memory(text: &str) -> Result<u64, String> {
    let bytes = if let Some(percent) = text.strip_suffix('%') {
        let percent = number(percent, "percentage", 1.0..=100.0)?;
        let total = memory::available_bytes()
            .ok_or("cannot find out how much memory this machine has; give a size such as 2G")?;
        (total as f64 * percent / 100.0) as u64
    } else {
        text.parse::<bytesize::ByteSize>().map_err(|_| format!("{text:?} is not a size such as 256M, 2G or 25%"))?.0
    };
    if bytes < MIN_MEMORY_BYTES {
        return Err(format!("{text} is too little; the least is {}M", MIN_MEMORY_BYTES / 1_000_000));
    }
    Ok(bytes)
}

const MIN_MEMORY_BYTES: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn values_at_the_edge_of_their_range_are_taken_and_those_beyond_refused() {
        assert!(parse_unsharp("5,250,255,1").is_ok());
        for beyond in ["5.1,1,0,0", "1,250.5,0,0", "1,1,256,0", "1,1,0,2", "1,1,0", "NaN,1,0,0", "1,1,0,0,0"] {
            assert!(parse_unsharp(beyond).is_err(), "{beyond}");
        }
        assert!(parse_background("color:BottomRight:1").is_ok());
        assert!(parse_background("alpha:0.5").is_ok());
        assert!(parse_background("color:Middle:0").is_err());
        assert!(parse_background("alpha:1.01").is_err());
        assert!(parse_knockout("UpperLeft:0.1:match").is_ok());
        assert!(parse_knockout("UpperLeft:0.1:spray").is_err());
        assert!(parse_tile("272").is_ok());
        assert!(parse_tile("100").is_err());
    }

    #[test]
    fn memory_is_read_as_size_or_share() {
        assert_eq!(parse_memory("256M"), Ok(256_000_000));
        assert_eq!(parse_memory("1GiB"), Ok(1 << 30));
        assert!(parse_memory("10%").is_ok());
        assert!(parse_memory("1M").is_err());
        assert!(parse_memory("lots").is_err());
    }
}
