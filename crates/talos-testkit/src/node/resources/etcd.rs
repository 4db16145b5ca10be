//! What a machine says about its member of etcd.

use talos_proto::definitions::etcd::MemberSpec;

use super::ResourceKind;
use super::specs::draft;
use crate::node::Node;
use crate::talosconfig::scalar;

const ETCD_MEMBER: ResourceKind = ResourceKind {
    name: "EtcdMembers.etcd.talos.dev",
    namespace: "etcd",
    owner: "etcd.MemberController",
};

impl Node {
    /// Brings the resource of the etcd member in line with the members there are.
    pub(crate) fn publish_etcd_member(&self) {
        match self.cluster.etcd.member(self) {
            Some(member) => {
                let member_id = format!("{:016x}", member.id);
                let yaml = format!("memberID: {}\n", scalar(&member_id));
                let spec = MemberSpec { member_id };
                self.resources.put(draft(&ETCD_MEMBER, "local", &spec, yaml));
            }
            None => self
                .resources
                .collection(ETCD_MEMBER.namespace, ETCD_MEMBER.name)
                .remove("local"),
        }
    }
}
