//! A secret that is renewed, and a way to count connections.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A secret as the kubelet mounts it into a pod: `config` is a link into `..data`, itself a link, which is swapped.
pub(super) struct Mount {
    folder: tempfile::TempDir,
    version: u32,
}

impl Mount {
    pub(super) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Self { folder, version: 0 };
        mount.publish(text);
        symlink("..data/config", mount.path());
        mount
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub(super) fn publish(&mut self, text: &str) {
        let folder = self.folder.path();
        let old = format!("..version_{}", self.version);
        self.version += 1;
        let new = format!("..version_{}", self.version);
        fs::create_dir(folder.join(&new)).expect("a folder");
        fs::write(folder.join(&new).join("config"), text).expect("written");
        symlink(&new, folder.join("..data_tmp"));
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("swapped");
        // The first version has no predecessor.
        let _ = fs::remove_dir_all(folder.join(old));
    }
}

fn symlink(target: &str, link: PathBuf) {
    std::os::unix::fs::symlink(target, link).expect("a link");
}

/// Passes bytes on to an endpoint and counts the connections.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub(super) async fn to(endpoint: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let endpoint = endpoint.clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(endpoint).await.expect("connected");
                    // How a connection ends is what the client and the cluster make of it.
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self {
            address,
            connections,
            accepting,
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
