//! Resources of the server that does next to nothing: addresses as a node with very many of them has, in the two forms that
//! nodes send. What is sent is encoded once.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message as _;
use prost_types::Timestamp;
use talos_proto::common::{NetIp, NetIpPrefix};
use talos_proto::cosi::resource::{
    Event, EventType, ListResponse, Metadata, Resource, Spec, WatchRequest, WatchResponse,
};
use talos_proto::definitions::network::AddressStatusSpec;

use crate::server::framed;

/// How many resources there are.
pub const RESOURCES: usize = 10_000;

/// How many updates a watch tells after it has told what there is; then it tells no more.
pub const UPDATES: usize = 50_000;

/// The messages of an answer. A watch that names a bookmark has seen everything.
pub(crate) fn answer(path: &str, message: &[u8]) -> Arc<[Bytes]> {
    static LIST: OnceLock<Arc<[Bytes]>> = OnceLock::new();
    static WATCH: OnceLock<Arc<[Bytes]>> = OnceLock::new();
    if path.ends_with("/List") {
        let items = || (0..RESOURCES).map(|index| framed(&item(index))).collect();
        return Arc::clone(LIST.get_or_init(items));
    }
    let seen = WatchRequest::decode(message)
        .ok()
        .and_then(|request| request.options)
        .is_some_and(|options| options.start_from_bookmark.is_some());
    if seen {
        return [framed(&WatchResponse::default())].into();
    }
    Arc::clone(WATCH.get_or_init(watch))
}

fn item(index: usize) -> ListResponse {
    ListResponse {
        resource: Some(resource(index, 1)),
    }
}

fn watch() -> Arc<[Bytes]> {
    let told = |event: Event| framed(&WatchResponse { event: vec![event] });
    let event = |number: usize, event_type: EventType| Event {
        event_type: event_type.into(),
        bookmark: Some(number.to_be_bytes().to_vec().into()),
        ..Event::default()
    };
    let contents = (0..RESOURCES).map(|index| {
        told(Event {
            resource: Some(resource(index, 1)),
            ..event(index, EventType::Created)
        })
    });
    let updates = (0..UPDATES).map(|update| {
        let (index, version) = (update % RESOURCES, 1 + update / RESOURCES);
        told(Event {
            resource: Some(resource(index, version + 1)),
            old: Some(resource(index, version)),
            ..event(RESOURCES + update, EventType::Updated)
        })
    });
    std::iter::once(framed(&WatchResponse::default()))
        .chain(contents)
        .chain([told(event(RESOURCES, EventType::Bootstrapped))])
        .chain(updates)
        .collect()
}

fn resource(index: usize, version: usize) -> Resource {
    let [.., third, fourth] = index.to_be_bytes();
    let ip = Bytes::from(vec![10, 5, third, fourth]);
    let address = format!("10.5.{third}.{fourth}");
    let changed = Timestamp {
        seconds: 1_795_000_000,
        nanos: 0,
    };
    let spec = AddressStatusSpec {
        address: Some(NetIpPrefix {
            ip: ip.clone(),
            prefix_length: 16,
        }),
        local: Some(NetIp { ip: ip.clone() }),
        broadcast: Some(NetIp { ip }),
        link_index: 7,
        link_name: "eth0".to_owned(),
        family: 2,
        flags: 128,
        ..AddressStatusSpec::default()
    };
    let yaml = format!(
        "address: {address}/16\nlocal: {address}\nbroadcast: {address}\nlinkIndex: 7\nlinkName: eth0\nfamily: inet4\n\
         scope: global\nflags: permanent\npriority: 0\n"
    );
    Resource {
        metadata: Some(Metadata {
            namespace: "network".to_owned(),
            r#type: "AddressStatuses.net.talos.dev".to_owned(),
            id: format!("eth0/{address}/16"),
            version: version.to_string(),
            owner: "network.AddressStatusController".to_owned(),
            phase: "running".to_owned(),
            created: Some(changed),
            updated: Some(changed),
            ..Metadata::default()
        }),
        spec: Some(Spec {
            proto_spec: spec.encode_to_vec().into(),
            yaml_spec: yaml,
        }),
    }
}
