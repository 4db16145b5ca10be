//! The zip archive, written by a thread of its own.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::redact::Redactor;
use crate::stream::ByteStream;

/// How many pieces wait for the disk at most.
const QUEUE: usize = 4;
/// How much is read at once, in bytes.
const BLOCK: usize = 64 * 1024;

/// An archive under way. Dropping it before [`Archive::finish`] removes what was written.
pub(super) struct Archive {
    commands: mpsc::Sender<Command>,
    writing: Option<JoinHandle<io::Result<()>>>,
    names: HashSet<String>,
}

enum Command {
    Begin(String),
    Data(Bytes),
    Finish,
}

impl Archive {
    pub(super) async fn create(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        let (commands, receiver) = mpsc::channel(QUEUE);
        let file = spawn_blocking({
            let path = path.clone();
            move || {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                tempfile::Builder::new()
                    .prefix(".support-")
                    .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))
            }
        });
        let file = file.await.map_err(io::Error::other)??;
        let writing = spawn_blocking(move || write(file, path, receiver));
        Ok(Self {
            commands,
            writing: Some(writing),
            names: HashSet::new(),
        })
    }

    /// Adds a file with this text, secrets taken out.
    pub(super) async fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.begin(name).await?;
        let mut redactor = Redactor::default();
        let mut clean = redactor.push(text.as_bytes());
        clean.push_str(&redactor.finish());
        self.data(clean).await
    }

    /// Adds a file with what a node sends, secrets taken out. What came before a failure is kept, with a line about
    /// it.
    pub(super) async fn stream(&mut self, name: &str, stream: ByteStream) -> io::Result<crate::Result<()>> {
        self.begin(name).await?;
        let mut redactor = Redactor::default();
        let mut chunks = stream.coalesce(BLOCK);
        let mut outcome = Ok(());
        while let Some(chunk) = chunks.next_chunk().await {
            match chunk {
                Ok(chunk) => self.data(redactor.push(&chunk)).await?,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        let mut rest = redactor.finish();
        if outcome.is_err() {
            rest.push_str("\n(cut off, see errors.txt)\n");
        }
        self.data(rest).await?;
        Ok(outcome)
    }

    /// Begins a file to which pieces are added with [`Archive::data`]. A name that is taken gets a number.
    pub(super) async fn begin(&mut self, name: &str) -> io::Result<()> {
        let mut free = name.to_owned();
        let mut number = 1;
        while !self.names.insert(free.clone()) {
            number += 1;
            free = format!("{name}-{number}");
        }
        self.send(Command::Begin(free)).await
    }

    pub(super) async fn data(&mut self, data: String) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.send(Command::Data(Bytes::from(data))).await
    }

    /// Writes what is missing, gives the archive its name, and tells how many files are in it.
    pub(super) async fn finish(mut self) -> io::Result<usize> {
        self.send(Command::Finish).await?;
        self.outcome().await?;
        Ok(self.names.len())
    }

    async fn send(&mut self, command: Command) -> io::Result<()> {
        if self.commands.send(command).await.is_ok() {
            return Ok(());
        }
        self.outcome().await?;
        Err(io::Error::other("the archive was given up"))
    }

    async fn outcome(&mut self) -> io::Result<()> {
        match self.writing.take() {
            Some(writing) => writing.await.map_err(io::Error::other)?,
            None => Err(io::Error::other("an earlier write failed")),
        }
    }
}

/// Does what it is told until it is told to finish, or nobody is there any more.
fn write(
    file: tempfile::NamedTempFile,
    path: PathBuf,
    mut commands: mpsc::Receiver<Command>,
) -> io::Result<()> {
    let (handle, place) = file.into_parts();
    let mut zip = ZipWriter::new(handle);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .large_file(true)
        .unix_permissions(0o600);
    while let Some(command) = commands.blocking_recv() {
        match command {
            Command::Begin(name) => zip.start_file(name, options)?,
            Command::Data(data) => zip.write_all(&data)?,
            Command::Finish => {
                let handle: File = zip.finish()?;
                handle.sync_all()?;
                drop(handle);
                return place.persist(&path).map_err(|error| error.error);
            }
        }
    }
    Ok(())
}
