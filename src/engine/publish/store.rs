//! Files at a publish context: a folder or an object store, through one interface.
//!
//! The only async code of the program: the object store's client needs a runtime, which lives on one thread and only
//! as long as the store is open.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::preset::PublishContext;

/// A file is sent in parts of this size; smaller ones at once.
const PART_BYTES: usize = 8 << 20;
/// Files on their way at once.
const IN_FLIGHT: usize = 8;
/// How long one request is tried again and again.
const RETRY_TIME: Duration = Duration::from_secs(30);
/// Requests that fail in a way that may pass are tried again so often.
const RETRIES: usize = 3;

/// A file to send.
#[derive(Debug, Clone)]
pub struct Upload {
    pub local: PathBuf,
    /// Below the context's URL.
    pub remote: String,
    /// What its content has to be; `None` where that is not known.
    pub hash: Option<blake3::Hash>,
}

/// What was sent, read back and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub hash: blake3::Hash,
    pub bytes: u64,
}

/// Why a file was not sent.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The file here cannot be read, or is not what it should be.
    Local(Error),
    /// The store cannot be reached, refuses, or gave back something else.
    Store(Error),
}

/// An open publish context.
pub struct Store {
    store: Arc<dyn ObjectStore>,
    prefix: Location,
    runtime: tokio::runtime::Runtime,
}

impl Store {
    /// Opens the place that `context` names. Credentials come from the environment, in the variables that the tools
    /// of each store use: `AWS_…`, `GOOGLE_…`, `AZURE_…`.
    ///
    /// # Errors
    /// `Misuse` for an address or an option that the store does not take.
    pub fn open(context: &PublishContext) -> Result<Self> {
        // Chosen once for the process; who chose first has chosen the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let misuse = |why: String| Error::misuse(Stage::Job, why).of(&context.name);
        let refused = |e: object_store::Error| misuse(format!("the publish context cannot be used: {e}"));
        let (scheme, rest) = context.url.split_once("://").ok_or_else(|| misuse("url has no scheme".into()))?;
        let path = if scheme == "file" { rest } else { rest.split_once('/').map_or("", |(_, path)| path) };
        let prefix = Location::parse(path.trim_matches('/')).map_err(|e| misuse(format!("url: {e}")))?;
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIME, ..RetryConfig::default() };
        // Each store's builder has these methods, and no trait for them.
        macro_rules! built {
            ($builder:ty, $variables:literal) => {{
                let mut builder = <$builder>::new().with_url(&context.url).with_retry(retry);
                for (name, value) in std::env::vars_os() {
                    let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
                    // Variables for other programs have names that mean nothing here.
                    if let (true, Ok(key)) = (name.starts_with($variables), name.to_ascii_lowercase().parse()) {
                        builder = builder.with_config(key, value);
                    }
                }
                for (name, value) in &context.options {
                    let key = name.parse().map_err(|_| misuse(format!("{scheme}:// has no option {name}")))?;
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(refused)?)
            }};
        }
        let store: Arc<dyn ObjectStore> = match scheme {
            "s3" => built!(AmazonS3Builder, "AWS_"),
            "gs" => built!(GoogleCloudStorageBuilder, "GOOGLE_"),
            "az" => built!(MicrosoftAzureBuilder, "AZURE_"),
            _ => Arc::new(LocalFileSystem::new()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io(Stage::Job, &context.name, e))?;
        Ok(Store { store, prefix, runtime })
    }

    /// Sends files, several at once, and tells of each by its place in `uploads`. After a fault of the store, or when
    /// `stop` says so, files on their way are finished and no further one is begun. Returns how many were begun.
    pub fn send_all(
        &self,
        uploads: &[Upload],
        stop: impl Fn() -> bool,
        mut on_done: impl FnMut(usize, std::result::Result<Sent, Fault>) -> Result<()>,
    ) -> Result<usize> {
        let halted = std::cell::Cell::new(false);
        self.runtime.block_on(async {
            let begun = uploads.iter().enumerate().take_while(|_| !halted.get() && !stop());
            let mut sending = stream::iter(begun)
                .map(|(i, upload)| async move { (i, self.send(upload).await) })
                .buffer_unordered(IN_FLIGHT);
            let mut count = 0;
            while let Some((index, result)) = sending.next().await {
                count += 1;
                if matches!(result, Err(Fault::Store(_))) {
                    halted.set(true);
                }
                on_done(index, result)?;
            }
            Ok(count)
        })
    }

    async fn send(&self, upload: &Upload) -> std::result::Result<Sent, Fault> {
        let local = |e: Error| Fault::Local(e);
        let mut file = File::open(&upload.local).map_err(|e| local(Error::io(Stage::Open, &upload.local, e)))?;
        let location = self.location(&upload.remote).map_err(Fault::Store)?;
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        let mut part = read_part(&mut file, &upload.local).map_err(local)?;
        let whole = part.len() < PART_BYTES;
        let mut parts = if whole {
            None
        } else {
            Some(self.store.put_multipart(&location).await.map_err(|e| stored(&upload.remote, e))?)
        };
        loop {
            hasher.update(&part);
            bytes += part.len() as u64;
            let last = part.len() < PART_BYTES;
            let next = if last { Vec::new() } else { read_part(&mut file, &upload.local).map_err(local)? };
            let done = last || next.is_empty();
            // Nothing that is not what is on record becomes visible at the other side.
            let changed = done && upload.hash.is_some_and(|expected| expected != hasher.finalize());
            if changed {
                if let Some(mut parts) = parts {
                    let _ = parts.abort().await;
                }
                let why = "the file has other content than on record; `reprise check LIB --hash --repair`, then run a job on it";
                return Err(local(Error::malformed(Stage::Open, why).of(upload.local.display().to_string())));
            }
            let payload = PutPayload::from(part);
            match &mut parts {
                None => drop(self.store.put(&location, payload).await.map_err(|e| stored(&upload.remote, e))?),
                Some(parts) => parts.put_part(payload).await.map_err(|e| stored(&upload.remote, e))?,
            }
            if done {
                break;
            }
            part = next;
        }
        if let Some(mut parts) = parts {
            parts.complete().await.map_err(|e| stored(&upload.remote, e))?;
        }
        let hash = hasher.finalize();
        self.verify(&location, &upload.remote, hash).await?;
        Ok(Sent { hash, bytes })
    }

    /// Reads a file back and compares.
    async fn verify(&self, location: &Location, remote: &str, hash: blake3::Hash) -> std::result::Result<(), Fault> {
        let mut found = self.store.get(location).await.map_err(|e| stored(remote, e))?.into_stream();
        let mut hasher = blake3::Hasher::new();
        while let Some(piece) = found.next().await {
            hasher.update(&piece.map_err(|e| stored(remote, e))?);
        }
        if hasher.finalize() == hash {
            return Ok(());
        }
        let why = "what the store gave back is not what was sent; try again";
        Err(Fault::Store(Error::malformed(Stage::Verify, why).of(remote)))
    }

    /// Writes a small file whole.
    ///
    /// # Errors
    /// `Io`, `Malformed` when it does not come back as it was sent.
    pub fn put(&self, remote: &str, bytes: Vec<u8>) -> Result<Sent> {
        let location = self.location(remote)?;
        let sent = Sent { hash: blake3::hash(&bytes), bytes: bytes.len() as u64 };
        let done: std::result::Result<(), Fault> = self.runtime.block_on(async {
            self.store.put(&location, PutPayload::from(bytes)).await.map_err(|e| stored(remote, e))?;
            self.verify(&location, remote, sent.hash).await
        });
        match done {
            Ok(()) => Ok(sent),
            Err(Fault::Local(error) | Fault::Store(error)) => Err(error),
        }
    }

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove(&self, remote: &str) -> Result<()> {
        let location = self.location(remote)?;
        match self.runtime.block_on(self.store.delete(&location)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error(remote, error)),
        }
    }

    fn location(&self, remote: &str) -> Result<Location> {
        let whole =
            if self.prefix.as_ref().is_empty() { remote.to_owned() } else { format!("{}/{remote}", self.prefix) };
        Location::parse(whole)
            .map_err(|e| Error::misuse(Stage::Job, format!("no name for a published file: {e}")).of(remote))
    }
}

fn read_part(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part).map_err(|e| Error::io(Stage::Open, path, e))?;
    Ok(part)
}

fn stored(remote: &str, error: object_store::Error) -> Fault {
    Fault::Store(store_error(remote, error))
}

fn store_error(remote: &str, error: object_store::Error) -> Error {
    // Stores answer with documents of several lines.
    let why = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    Error::new(ErrorKind::Io, Stage::Job, why).of(remote)
}
