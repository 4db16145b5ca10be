//! What is on the system disk: which release runs, which one ran before, which one comes next.

/// The boot loader's view of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Installation {
    /// Whether Talos is on the disk.
    installed: bool,
    /// The release that the running one replaced.
    previous: Option<String>,
    /// The release that runs.
    current: String,
    /// The release of the next boot.
    next: Option<String>,
}

impl Installation {
    pub(crate) fn new(tag: &str, installed: bool) -> Self {
        Self {
            installed,
            current: tag.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) const fn is_installed(&self) -> bool {
        self.installed
    }

    /// Wipes the disk; what runs goes on from memory.
    pub(crate) fn wipe(&mut self) {
        *self = Self::new(&self.current, false);
    }

    /// Writes a release to the disk that runs from the next boot on.
    pub(crate) fn upgrade(&mut self, tag: &str) {
        self.installed = true;
        self.next = Some(tag.to_owned());
    }

    /// Lets the next boot take the release before; `None` if there was none.
    pub(crate) fn roll_back(&mut self) -> Option<()> {
        self.next = Some(self.previous.clone()?);
        Some(())
    }

    /// Sets the release that runs, as if it always had.
    pub(crate) fn runs(&mut self, tag: &str) {
        tag.clone_into(&mut self.current);
    }

    /// Boots, after an upgrade to `staged` if there is one; the release that runs now, if it is another one
    /// than before.
    pub(crate) fn boot(&mut self, staged: Option<String>) -> Option<String> {
        let next = self.next.take();
        let next = staged.or(next)?;
        if next == self.current {
            return None;
        }
        self.previous = Some(std::mem::replace(&mut self.current, next));
        Some(self.current.clone())
    }
}

/// The release that an installer image brings, which its tag says; `None` if it has no such tag.
pub(crate) fn release_of(image: &str) -> Option<String> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    tag.starts_with('v').then(|| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_counts_from_the_next_boot_on_and_can_be_rolled_back() {
        let mut disk = Installation::new("v1", true);
        assert_eq!(disk.roll_back(), None);
        disk.upgrade("v2");
        assert_eq!(disk.boot(None).as_deref(), Some("v2"));
        assert_eq!(disk.boot(None), None);
        disk.roll_back().unwrap();
        assert_eq!(disk.boot(None).as_deref(), Some("v1"));
        disk.roll_back().unwrap();
        assert_eq!(disk.boot(None).as_deref(), Some("v2"));
        assert_eq!(disk.boot(Some("v3".to_owned())).as_deref(), Some("v3"));
    }

    #[test]
    fn the_tag_of_an_image_is_its_release() {
        let release = |image| release_of(image);
        let v2 = Some("v1.15.2".to_owned());
        assert_eq!(release("ghcr.io/siderolabs/installer:v1.15.2"), v2);
        assert_eq!(release("host:5000/installer:v1.15.2@sha256:00"), v2);
        assert_eq!(release("host:5000/installer"), None);
        assert_eq!(release("installer:latest"), None);
        assert_eq!(release(""), None);
    }

    #[test]
    fn a_wiped_disk_is_not_installed_and_knows_no_release_before() {
        let mut disk = Installation::new("v1", true);
        disk.upgrade("v2");
        disk.boot(None);
        disk.upgrade("v3");
        disk.wipe();
        assert!(!disk.is_installed());
        assert_eq!((disk.roll_back(), disk.boot(None)), (None, None));
    }
}
