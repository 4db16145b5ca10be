//! Archives of images: the two layouts in use, read without keeping more than their indexes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::write::GzDecoder;
use ring::digest::{SHA256, digest};
use serde_json::Value;

/// The largest index that is read.
const MAX_INDEX: usize = 4 << 20;
/// The most entries of an archive, so that a stream of headers does not fill the memory.
const MAX_ENTRIES: usize = 100_000;
const BLOCK: usize = 512;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An image found in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    /// With `sha256:`.
    pub(crate) digest: String,
    pub(crate) size: u64,
}

/// Why an archive cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportError {
    /// It cannot be read.
    Format(String),
    /// There are no images in it.
    Empty,
    /// An image lacks a part.
    Unpack { name: String, error: String },
}

/// Reads an archive piece by piece.
pub(crate) struct Importer {
    first: Vec<u8>,
    input: Option<Input>,
}

enum Input {
    Plain(Scanner),
    Gzip(Box<GzDecoder<Scanner>>),
}

impl Importer {
    pub(crate) const fn new() -> Self {
        Self {
            first: Vec::new(),
            input: None,
        }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), ImportError> {
        if let Some(input) = &mut self.input {
            return input.write(piece);
        }
        self.first.extend_from_slice(piece);
        if self.first.len() < GZIP.len() {
            return Ok(());
        }
        let first = std::mem::take(&mut self.first);
        let input = if first.starts_with(&GZIP) {
            Input::Gzip(Box::new(GzDecoder::new(Scanner::default())))
        } else {
            Input::Plain(Scanner::default())
        };
        self.input.insert(input).write(&first)
    }

    /// The images, when all pieces have been taken.
    pub(crate) fn finish(self) -> Result<Vec<Found>, ImportError> {
        let scanner = match self.input {
            None => return Err(unexpected_end()),
            Some(Input::Plain(scanner)) => scanner,
            Some(Input::Gzip(gzip)) => gzip.finish().map_err(|_| unexpected_end())?,
        };
        scanner.images()
    }
}

impl Input {
    fn write(&mut self, piece: &[u8]) -> Result<(), ImportError> {
        let written = match self {
            Self::Plain(scanner) => scanner.write_all(piece),
            Self::Gzip(gzip) => gzip.write_all(piece),
        };
        written.map_err(|error| ImportError::Format(error.to_string()))
    }
}

fn unexpected_end() -> ImportError {
    ImportError::Format("unexpected EOF".to_owned())
}

/// Reads the headers of a tar, and the contents of the indexes.
#[derive(Debug, Default)]
struct Scanner {
    block: Vec<u8>,
    /// Bytes of the current entry, and of the padding after it, that are still to come.
    rest: u64,
    padding: u64,
    /// Name and contents of the index that is being read.
    reading: Option<(String, Vec<u8>)>,
    entries: BTreeMap<String, u64>,
    indexes: BTreeMap<String, Vec<u8>>,
    ended: bool,
}

impl Write for Scanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut input = bytes;
        while !input.is_empty() && !self.ended {
            if self.rest > 0 {
                let length = usize::try_from(self.rest).unwrap_or(usize::MAX).min(input.len());
                if let Some((_, contents)) = &mut self.reading {
                    contents.extend_from_slice(&input[..length]);
                }
                self.rest -= length as u64;
                input = &input[length..];
            } else if let Some((name, contents)) = self.reading.take() {
                self.indexes.insert(name, contents);
            } else if self.padding > 0 {
                let length = usize::try_from(self.padding)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                self.padding -= length as u64;
                input = &input[length..];
            } else {
                let length = (BLOCK - self.block.len()).min(input.len());
                self.block.extend_from_slice(&input[..length]);
                input = &input[length..];
                if self.block.len() == BLOCK {
                    self.header()?;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Scanner {
    fn header(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        if block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(());
        }
        let invalid = || io::Error::other("archive/tar: invalid tar header");
        let text = |range: std::ops::Range<usize>| {
            let field = block[range].split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(field).into_owned()
        };
        let octal = |range| u64::from_str_radix(text(range).trim(), 8).map_err(|_| invalid());
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
        if octal(148..156)? != sum - own + 8 * u64::from(b' ') {
            return Err(invalid());
        }
        let size = octal(124..136)?;
        let prefix = text(345..500);
        let name = match prefix.as_str() {
            "" => text(0..100),
            prefix => format!("{prefix}/{}", text(0..100)),
        };
        let name = name.trim_start_matches("./").to_owned();
        let is_index = ["manifest.json", "index.json", "oci-layout"].contains(&name.as_str());
        if self.entries.len() >= MAX_ENTRIES || (is_index && size > MAX_INDEX as u64) {
            return Err(io::Error::other("archive is too large"));
        }
        self.rest = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        self.reading = is_index.then(|| (name.clone(), Vec::new()));
        self.entries.insert(name, size);
        Ok(())
    }

    /// What the indexes say is in the archive.
    fn images(mut self) -> Result<Vec<Found>, ImportError> {
        if self.rest > 0 || !self.block.is_empty() {
            return Err(unexpected_end());
        }
        if let Some((name, contents)) = self.reading.take() {
            self.indexes.insert(name, contents);
        }
        if self.indexes.contains_key("oci-layout") || self.indexes.contains_key("index.json") {
            self.oci()
        } else if self.indexes.contains_key("manifest.json") {
            self.docker()
        } else if self.entries.is_empty() {
            Err(unexpected_end())
        } else {
            Err(ImportError::Format("unrecognized image format".to_owned()))
        }
    }

    fn index(&self, name: &str) -> Result<Value, ImportError> {
        let Some(bytes) = self.indexes.get(name) else {
            return Err(ImportError::Format(format!("{name}: not found")));
        };
        serde_json::from_slice(bytes).map_err(|error| ImportError::Format(format!("{name}: {error}")))
    }

    /// The layout of the Open Container Initiative: `index.json` names manifests, which are blobs.
    fn oci(&self) -> Result<Vec<Found>, ImportError> {
        let index = self.index("index.json")?;
        let manifests = index["manifests"].as_array().cloned().unwrap_or_default();
        let mut found = Vec::new();
        for manifest in manifests {
            let annotations = &manifest["annotations"];
            let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
            let Some(name) = keys.iter().find_map(|key| annotations[key].as_str()) else {
                continue;
            };
            let digest = manifest["digest"].as_str().unwrap_or_default();
            let blob = format!("blobs/{}", digest.replace(':', "/"));
            if !self.entries.contains_key(&blob) {
                return Err(missing(name, digest));
            }
            found.push(Found {
                name: name.to_owned(),
                digest: digest.to_owned(),
                size: self.total("blobs/"),
            });
        }
        nonempty(found)
    }

    /// The layout of `docker save`: `manifest.json` lists names and layers.
    fn docker(&self) -> Result<Vec<Found>, ImportError> {
        let manifest = self.index("manifest.json")?;
        let mut found = Vec::new();
        for image in manifest.as_array().cloned().unwrap_or_default() {
            let digest = digest_of(image.to_string().as_bytes());
            let layers = image["Layers"].as_array().cloned().unwrap_or_default();
            for name in image["RepoTags"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                let parts = layers.iter().chain([&image["Config"]]).filter_map(Value::as_str);
                for part in parts {
                    if !self.entries.contains_key(part) {
                        return Err(missing(name, part));
                    }
                }
                found.push(Found {
                    name: name.to_owned(),
                    digest: digest.clone(),
                    size: self.total(""),
                });
            }
        }
        nonempty(found)
    }

    fn total(&self, prefix: &str) -> u64 {
        let parts = self.entries.iter().filter(|(name, _)| name.starts_with(prefix));
        parts.map(|(_, size)| size).sum()
    }
}

fn missing(name: &str, part: &str) -> ImportError {
    ImportError::Unpack {
        name: name.to_owned(),
        error: format!("{part}: not found"),
    }
}

fn nonempty(found: Vec<Found>) -> Result<Vec<Found>, ImportError> {
    if found.is_empty() {
        return Err(ImportError::Empty);
    }
    Ok(found)
}

fn digest_of(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
