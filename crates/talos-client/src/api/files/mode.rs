//! Kinds and permissions of files.

use std::fmt;

/// What a file is and who may use it, as Talos sends it.
///
/// **These are the bits of Go, not those of Unix**: the permissions are the same, everything else stands
/// elsewhere. [`FileMode::unix`] translates.
///
/// ```
/// use talos_client::api::files::{FileKind, FileMode};
///
/// let mode = FileMode::from_go(1 << 31 | 0o755);
/// assert_eq!(mode.kind(), FileKind::Directory);
/// assert_eq!(mode.unix(), 0o40_755);
/// assert_eq!(mode.to_string(), "drwxr-xr-x");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileMode(u32);

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// Something that Go has no name for.
    Irregular,
}

impl FileMode {
    /// From the bits of Go's `os.FileMode`.
    pub const fn from_go(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits of Go's `os.FileMode`.
    pub const fn go(self) -> u32 {
        self.0
    }

    /// What the file is.
    pub const fn kind(self) -> FileKind {
        if self.has(DIRECTORY) {
            FileKind::Directory
        } else if self.has(SYMLINK) {
            FileKind::Symlink
        } else if self.has(DEVICE) && self.has(CHAR_DEVICE) {
            FileKind::CharDevice
        } else if self.has(DEVICE) {
            FileKind::BlockDevice
        } else if self.has(FIFO) {
            FileKind::Fifo
        } else if self.has(SOCKET) {
            FileKind::Socket
        } else if self.has(IRREGULAR) {
            FileKind::Irregular
        } else {
            FileKind::Regular
        }
    }

    /// Read, write and execute for owner, group and others: nine bits, such as `0o644`.
    pub const fn permissions(self) -> u32 {
        self.0 & 0o777
    }

    /// Whether it runs as its owner.
    pub const fn is_setuid(self) -> bool {
        self.has(SETUID)
    }

    /// Whether it runs as its group.
    pub const fn is_setgid(self) -> bool {
        self.has(SETGID)
    }

    /// Whether only owners may remove what is in the folder.
    pub const fn is_sticky(self) -> bool {
        self.has(STICKY)
    }

    /// As the `st_mode` of `stat(2)`.
    pub const fn unix(self) -> u32 {
        let kind = match self.kind() {
            FileKind::Regular => 0o100_000,
            FileKind::Directory => 0o040_000,
            FileKind::Symlink => 0o120_000,
            FileKind::BlockDevice => 0o060_000,
            FileKind::CharDevice => 0o020_000,
            FileKind::Fifo => 0o010_000,
            FileKind::Socket => 0o140_000,
            FileKind::Irregular => 0,
        };
        kind | (self.is_setuid() as u32) << 11
            | (self.is_setgid() as u32) << 10
            | (self.is_sticky() as u32) << 9
            | self.permissions()
    }

    const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// As `ls -l` shows it.
impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind() {
            FileKind::Regular => '-',
            FileKind::Directory => 'd',
            FileKind::Symlink => 'l',
            FileKind::BlockDevice => 'b',
            FileKind::CharDevice => 'c',
            FileKind::Fifo => 'p',
            FileKind::Socket => 's',
            FileKind::Irregular => '?',
        };
        let mut text = String::with_capacity(10);
        text.push(kind);
        for (shift, special, shown) in [
            (6, self.is_setuid(), 's'),
            (3, self.is_setgid(), 's'),
            (0, self.is_sticky(), 't'),
        ] {
            let bits = self.0 >> shift;
            text.push(if bits & 4 != 0 { 'r' } else { '-' });
            text.push(if bits & 2 != 0 { 'w' } else { '-' });
            text.push(match (bits & 1 != 0, special) {
                (true, true) => shown,
                (false, true) => shown.to_ascii_uppercase(),
                (true, false) => 'x',
                (false, false) => '-',
            });
        }
        f.pad(&text)
    }
}

const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHAR_DEVICE: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_go_become_those_of_unix() {
        let cases = [
            (0o644, FileKind::Regular, 0o100_644, "-rw-r--r--"),
            (DIRECTORY | 0o755, FileKind::Directory, 0o040_755, "drwxr-xr-x"),
            (
                DIRECTORY | STICKY | 0o777,
                FileKind::Directory,
                0o041_777,
                "drwxrwxrwt",
            ),
            (SYMLINK | 0o777, FileKind::Symlink, 0o120_777, "lrwxrwxrwx"),
            (DEVICE | 0o660, FileKind::BlockDevice, 0o060_660, "brw-rw----"),
            (
                DEVICE | CHAR_DEVICE | 0o666,
                FileKind::CharDevice,
                0o020_666,
                "crw-rw-rw-",
            ),
            (FIFO | 0o600, FileKind::Fifo, 0o010_600, "prw-------"),
            (SOCKET | 0o600, FileKind::Socket, 0o140_600, "srw-------"),
            (SETUID | 0o755, FileKind::Regular, 0o104_755, "-rwsr-xr-x"),
            (SETGID | 0o640, FileKind::Regular, 0o102_640, "-rw-r-S---"),
            (IRREGULAR, FileKind::Irregular, 0, "?---------"),
        ];
        for (bits, kind, unix, shown) in cases {
            let mode = FileMode::from_go(bits);
            assert_eq!((mode.kind(), mode.unix()), (kind, unix), "{bits:#o}");
            assert_eq!(mode.to_string(), shown, "{bits:#o}");
        }
    }
}
