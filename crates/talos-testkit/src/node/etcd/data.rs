//! What etcd keeps on the disk of its node.

use super::image::DatabaseImage;
use super::member::Member;
use crate::node::Node;
use crate::node::files::entry::{Contents, Entry};
use crate::rng::SimRng;

/// Folder of etcd's data.
pub(super) const DATA: &str = "/var/lib/etcd";
/// What of it is there if and only if the node is or was a member.
const MEMBER_DATA: &str = "/var/lib/etcd/member";
const DATABASE: &str = "/var/lib/etcd/member/snap/db";

/// Size of a database, and how much of it is used, unless told otherwise.
pub(super) const DATABASE_SIZE: u64 = 2 << 20;
pub(super) const DATABASE_IN_USE: u64 = 1 << 20;

/// Whether `node` has data of etcd, so that it cannot be bootstrapped.
pub(crate) fn has_data(node: &Node) -> bool {
    node.files.exists(MEMBER_DATA)
}

/// Writes the data of the member that `node` is, if it is one.
pub(crate) fn write_files(node: &Node) {
    if let Some(member) = node.cluster.etcd.member(node) {
        write(node, &member);
    }
    node.publish_etcd_member();
}

/// What is in the database: what was recovered, or something made up.
pub(super) fn contents(member: &Member) -> Contents {
    match &member.contents {
        Some(contents) => Contents::Fixed(contents.clone()),
        None => {
            let seed = SimRng::new(member.id).fork("database").next_u64();
            Contents::Database(DatabaseImage::new(seed, member.database.0))
        }
    }
}

pub(super) fn write(node: &Node, member: &Member) {
    if !node.files.exists(DATA) {
        node.files.put(DATA, Entry::directory().with_mode(0o700));
    }
    let database = Entry::regular(contents(member)).with_mode(0o600);
    node.files.put(DATABASE, database);
}
