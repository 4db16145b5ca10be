//! Members of etcd, their databases and alarms.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use ring::digest::{Context, SHA256};
use talos_proto::common::Data;
use talos_proto::machine::etcd_member_alarm::AlarmType;
use talos_proto::machine::{
    EtcdAlarmDisarm, EtcdAlarmDisarmResponse, EtcdAlarmListResponse, EtcdClusterDowngrade, EtcdDefragment,
    EtcdDefragmentResponse, EtcdDowngradeCancel, EtcdDowngradeCancelResponse, EtcdDowngradeEnable,
    EtcdDowngradeEnableRequest, EtcdDowngradeEnableResponse, EtcdDowngradeValidate,
    EtcdDowngradeValidateRequest, EtcdDowngradeValidateResponse, EtcdForfeitLeadership,
    EtcdForfeitLeadershipRequest, EtcdForfeitLeadershipResponse, EtcdLeaveCluster, EtcdLeaveClusterRequest,
    EtcdLeaveClusterResponse, EtcdMember, EtcdMemberAlarm, EtcdMemberListRequest, EtcdMemberListResponse,
    EtcdMemberStatus, EtcdMembers, EtcdRecover, EtcdRecoverResponse, EtcdRemoveMemberById,
    EtcdRemoveMemberByIdRequest, EtcdRemoveMemberByIdResponse, EtcdSnapshotRequest, EtcdStatus,
    EtcdStatusResponse,
};
use tonic::{Status, Streaming};

use super::{Call, Items, data};
use crate::node::etcd::{self, EtcdAlarm, EtcdError, Member, MinorVersion, SNAPSHOT_PATH};
use crate::node::files::entry::{Contents, Entry};
use crate::node::logs::CHUNK;

/// How often, and how many times, a node tries to leave.
const LEAVE_PERIOD: Duration = Duration::from_secs(10);
const LEAVE_ATTEMPTS: usize = 30;

/// The largest upload the simulator keeps; a larger one fills the disk.
const MAX_UPLOAD: usize = 256 << 20;

/// What etcd answers itself has no code any more when it arrives; what is wrong with the connection has.
pub(super) fn status(error: &EtcdError, prefix: &str) -> Status {
    let message = format!("{prefix}{error}");
    match error {
        EtcdError::Down(_) => Status::unavailable(message),
        _ => Status::unknown(message),
    }
}

fn plain(error: EtcdError) -> Status {
    status(&error, "")
}

pub(in crate::machined) async fn member_list(
    call: Call,
    request: EtcdMemberListRequest,
) -> Result<EtcdMemberListResponse, Status> {
    call.control_plane_only("member list")?;
    let cluster = &call.node.cluster;
    let members = if request.query_local {
        cluster.etcd.local_members(&call.node).map_err(plain)?
    } else {
        let nodes = cluster.control_planes();
        let Some(asked) = nodes.iter().find(|node| etcd::runs(node)) else {
            return Err(plain(EtcdError::Down(call.node.identity.address)));
        };
        cluster.etcd.quorum(asked).map_err(plain)?;
        cluster.etcd.members()
    };
    let message = EtcdMembers {
        metadata: None,
        legacy_members: members.iter().map(|member| member.name.clone()).collect(),
        members: members.into_iter().map(member).collect(),
    };
    Ok(EtcdMemberListResponse {
        messages: vec![message],
    })
}

fn member(member: Member) -> EtcdMember {
    let url = |port: u16| format!("https://{}", std::net::SocketAddr::from((member.address, port)));
    EtcdMember {
        id: member.id,
        peer_urls: vec![url(2380)],
        client_urls: vec![url(2379)],
        is_learner: member.learner,
        hostname: member.name,
    }
}

pub(in crate::machined) async fn remove_member_by_id(
    call: Call,
    request: EtcdRemoveMemberByIdRequest,
) -> Result<EtcdRemoveMemberByIdResponse, Status> {
    call.control_plane_only("etcd remove member")?;
    let id = request.member_id;
    let removed = call.node.cluster.etcd.remove(&call.node, id);
    removed.map_err(|error| match error {
        EtcdError::NotFound => Status::not_found(format!("failed to remove member {id}: {error}")),
        error => status(
            &error,
            &format!("failed to remove member: failed to remove member {id}: "),
        ),
    })?;
    Ok(EtcdRemoveMemberByIdResponse {
        messages: vec![EtcdRemoveMemberById::default()],
    })
}

pub(in crate::machined) async fn leave_cluster(
    call: Call,
    _: EtcdLeaveClusterRequest,
) -> Result<EtcdLeaveClusterResponse, Status> {
    call.control_plane_only("etcd leave")?;
    let mut attempt = 1;
    while let Err(error) = call.node.cluster.etcd.leave(&call.node) {
        if attempt == LEAVE_ATTEMPTS {
            return Err(status(&error, "failed to leave cluster: "));
        }
        attempt += 1;
        tokio::time::sleep(LEAVE_PERIOD).await;
    }
    Ok(EtcdLeaveClusterResponse {
        messages: vec![EtcdLeaveCluster::default()],
    })
}

pub(in crate::machined) async fn forfeit_leadership(
    call: Call,
    _: EtcdForfeitLeadershipRequest,
) -> Result<EtcdForfeitLeadershipResponse, Status> {
    call.control_plane_only("etcd forfeit leadership")?;
    let successor = call.node.cluster.etcd.forfeit(&call.node);
    let successor = successor.map_err(|error| status(&error, "failed to forfeit leadership: "))?;
    Ok(EtcdForfeitLeadershipResponse {
        messages: vec![EtcdForfeitLeadership {
            metadata: None,
            member: successor.unwrap_or_default(),
        }],
    })
}

pub(in crate::machined) async fn snapshot(call: Call, _: EtcdSnapshotRequest) -> Result<Items<Data>, Status> {
    call.control_plane_only("etcd snapshot")?;
    let database = call.node.cluster.etcd.database(&call.node).map_err(plain)?;
    let state = Some((database, 0, Context::new(&SHA256)));
    // The checksum of everything before it comes last, in a piece of its own.
    Ok(data(stream::unfold(state, |state| async move {
        let (source, offset, mut hash) = state?;
        let piece = source.read_at(offset, CHUNK);
        if piece.is_empty() {
            return Some((Bytes::copy_from_slice(hash.finish().as_ref()), None));
        }
        hash.update(&piece);
        let next = offset + piece.len() as u64;
        Some((piece, Some((source, next, hash))))
    })))
}

pub(in crate::machined) async fn recover(
    call: Call,
    mut upload: Streaming<Data>,
) -> Result<EtcdRecoverResponse, Status> {
    let files = &call.node.files;
    if !files.exists("/var/lib") {
        return Err(Status::failed_precondition(
            "etcd service is not ready for recovery yet",
        ));
    }
    call.control_plane_only("etcd recover")?;
    let partial = Partial { call: &call };
    files.write(SNAPSHOT_PATH, Bytes::new());
    let mut contents = BytesMut::new();
    while let Some(piece) = upload.next().await {
        let bytes = piece?.bytes;
        if contents.len() + bytes.len() > MAX_UPLOAD {
            return Err(Status::unknown(format!(
                "write {SNAPSHOT_PATH}: no space left on device"
            )));
        }
        contents.extend_from_slice(&bytes);
    }
    partial.keep();
    let entry = Entry::regular(Contents::Fixed(contents.freeze())).with_mode(0o600);
    files.put(SNAPSHOT_PATH, entry);
    Ok(EtcdRecoverResponse {
        messages: vec![EtcdRecover::default()],
    })
}

/// An upload that has not ended: dropped, it takes its file with it.
struct Partial<'a> {
    call: &'a Call,
}

impl Partial<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        self.call.node.files.remove(SNAPSHOT_PATH);
    }
}

pub(in crate::machined) async fn alarm_list(call: Call, _: ()) -> Result<EtcdAlarmListResponse, Status> {
    call.control_plane_only("etcd alarm list")?;
    Ok(EtcdAlarmListResponse {
        messages: vec![talos_proto::machine::EtcdAlarm {
            metadata: None,
            member_alarms: alarms(&call, false)?,
        }],
    })
}

pub(in crate::machined) async fn alarm_disarm(call: Call, _: ()) -> Result<EtcdAlarmDisarmResponse, Status> {
    call.control_plane_only("etcd alarm disarm")?;
    Ok(EtcdAlarmDisarmResponse {
        messages: vec![EtcdAlarmDisarm {
            metadata: None,
            member_alarms: alarms(&call, true)?,
        }],
    })
}

fn alarms(call: &Call, disarm: bool) -> Result<Vec<EtcdMemberAlarm>, Status> {
    let alarms = call.node.cluster.etcd.alarms(&call.node, disarm).map_err(plain)?;
    let alarms = alarms.into_iter().map(|(member_id, alarm)| EtcdMemberAlarm {
        member_id,
        alarm: match alarm {
            EtcdAlarm::NoSpace => AlarmType::Nospace,
            EtcdAlarm::Corrupt => AlarmType::Corrupt,
        }
        .into(),
    });
    Ok(alarms.collect())
}

pub(in crate::machined) async fn defragment(call: Call, _: ()) -> Result<EtcdDefragmentResponse, Status> {
    call.control_plane_only("etcd defragment")?;
    call.node.cluster.etcd.defragment(&call.node).map_err(plain)?;
    Ok(EtcdDefragmentResponse {
        messages: vec![EtcdDefragment::default()],
    })
}

pub(in crate::machined) async fn member_status(call: Call, _: ()) -> Result<EtcdStatusResponse, Status> {
    call.control_plane_only("etcd status")?;
    let status = call.node.cluster.etcd.status(&call.node).map_err(plain)?;
    let tag = call.node.version.lock().tag.clone();
    let (size, in_use) = status.member.database;
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let member_status = EtcdMemberStatus {
        member_id: status.member.id,
        protocol_version: etcd::version(&tag).1.to_owned(),
        storage_version: etcd::storage_version(&tag, status.downgrade).to_string(),
        db_size: signed(size),
        db_size_in_use: signed(in_use),
        leader: status.leader,
        raft_index: status.index,
        raft_term: status.term,
        raft_applied_index: status.index,
        errors: status.errors,
        is_learner: status.member.learner,
    };
    Ok(EtcdStatusResponse {
        messages: vec![EtcdStatus {
            metadata: None,
            member_status: Some(member_status),
        }],
    })
}

pub(in crate::machined) async fn downgrade_validate(
    call: Call,
    request: EtcdDowngradeValidateRequest,
) -> Result<EtcdDowngradeValidateResponse, Status> {
    call.control_plane_only("etcd downgrade validate")?;
    let target = target(&request.version)?;
    let etcd = &call.node.cluster.etcd;
    etcd.validate_downgrade(&call.node, target).map_err(refused)?;
    Ok(EtcdDowngradeValidateResponse {
        messages: vec![EtcdDowngradeValidate {
            metadata: None,
            cluster_downgrade: cluster_version(&call),
        }],
    })
}

pub(in crate::machined) async fn downgrade_enable(
    call: Call,
    request: EtcdDowngradeEnableRequest,
) -> Result<EtcdDowngradeEnableResponse, Status> {
    call.control_plane_only("etcd downgrade enable")?;
    let target = target(&request.version)?;
    let etcd = &call.node.cluster.etcd;
    etcd.enable_downgrade(&call.node, target).map_err(refused)?;
    Ok(EtcdDowngradeEnableResponse {
        messages: vec![EtcdDowngradeEnable {
            metadata: None,
            cluster_downgrade: cluster_version(&call),
        }],
    })
}

pub(in crate::machined) async fn downgrade_cancel(
    call: Call,
    _: (),
) -> Result<EtcdDowngradeCancelResponse, Status> {
    call.control_plane_only("etcd downgrade cancel")?;
    call.node
        .cluster
        .etcd
        .cancel_downgrade(&call.node)
        .map_err(refused)?;
    Ok(EtcdDowngradeCancelResponse {
        messages: vec![EtcdDowngradeCancel {
            metadata: None,
            cluster_downgrade: cluster_version(&call),
        }],
    })
}

fn refused(error: EtcdError) -> Status {
    status(&error, "failed to query etcd status: ")
}

fn cluster_version(call: &Call) -> Option<EtcdClusterDowngrade> {
    let (version, _) = etcd::version(&call.node.version.lock().tag);
    Some(EtcdClusterDowngrade {
        cluster_version: version.to_string(),
    })
}

/// The version of a request, or what is wrong with it.
fn target(version: &str) -> Result<MinorVersion, Status> {
    if version.is_empty() {
        return Err(Status::invalid_argument("version is required for etcd downgrade"));
    }
    let parts: Vec<&str> = version.split('.').collect();
    let [major, minor] = parts.as_slice() else {
        return Err(Status::invalid_argument(
            "version should be in MAJOR.MINOR format",
        ));
    };
    let number = |part: &str, name: &str| {
        part.parse()
            .map_err(|_| Status::invalid_argument(format!("{name} version should be a number")))
    };
    let target = MinorVersion {
        major: number(major, "major")?,
        minor: number(minor, "minor")?,
    };
    if target < (MinorVersion { major: 3, minor: 5 }) {
        return Err(Status::invalid_argument(
            "etcd downgrade is only supported to 3.5 and later versions",
        ));
    }
    Ok(target)
}
