//! Messages against golden bytes; each file below `data` tells where its bytes come from.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Debug;

use bytes::Bytes;
use prost::{Message, Name};
use talos_proto::cosi::resource::{EventType, WatchResponse};
use talos_proto::definitions::enums::RuntimeMachineStage;
use talos_proto::definitions::runtime::MachineStatusSpec;
use talos_proto::machine::machine_status_event::MachineStage;
use talos_proto::machine::{
    Event, LogsRequest, MachineStatusEvent, SequenceEvent, VersionResponse, sequence_event,
};
use talos_proto::{common, resource};

/// Reads a file of `data`: hexadecimal bytes, and comments from `#` to the end of the line.
macro_rules! golden {
    ($name:literal) => {
        parse_hex(include_str!(concat!("data/", $name, ".hex")))
    };
}

fn parse_hex(text: &str) -> Bytes {
    let digits = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Decodes, and checks that encoding loses nothing that decoding found.
#[track_caller]
fn decode<M: Message + Default + PartialEq + Debug>(bytes: &Bytes) -> M {
    let message = M::decode(bytes.clone()).unwrap();
    let encoded = message.encode_to_vec();
    assert_eq!(encoded.len(), message.encoded_len());
    assert_eq!(M::decode(encoded.as_slice()).unwrap(), message);
    message
}

#[test]
#[expect(deprecated, reason = "the metadata of the `nodes` header")]
fn metadata_that_apid_splices_in_at_the_end_is_read() {
    let bytes = golden!("version_one_of_many");
    let reply: VersionResponse = decode(&bytes);
    let [version] = reply.messages.as_slice() else {
        panic!("one element, got {reply:?}")
    };
    assert_eq!(
        version
            .metadata
            .as_ref()
            .map(|metadata| metadata.hostname.as_str()),
        Some("10.5.0.2")
    );
    let info = version.version.as_ref().unwrap();
    assert_eq!(
        (info.tag.as_str(), info.built.as_str(), info.arch.as_str()),
        ("v1.14.0", "", "amd64")
    );
    assert_eq!(
        version.platform.as_ref().map(|platform| platform.mode.as_str()),
        Some("metal")
    );
    assert!(version.features.as_ref().is_some_and(|features| features.rbac));
    // We write field 1 first: the same bytes in another order.
    let encoded = reply.encode_to_vec();
    assert_eq!(encoded.len(), bytes.len());
    assert_ne!(encoded, bytes);
}

#[test]
#[expect(deprecated, reason = "the metadata of the `nodes` header")]
fn a_node_that_failed_is_an_element_with_metadata_alone() {
    let bytes = golden!("version_failed_node");
    let reply: VersionResponse = decode(&bytes);
    let version = &reply.messages[0];
    assert!(version.version.is_none() && version.platform.is_none() && version.features.is_none());
    let metadata = version.metadata.as_ref().unwrap();
    assert_eq!(
        metadata.error,
        "rpc error: code = Unavailable desc = connection refused"
    );
    let status = metadata.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (14, "connection refused"));
    assert_eq!(reply.encode_to_vec(), bytes);
}

#[test]
fn the_greeting_of_an_event_stream_has_empty_data() {
    let bytes = golden!("event_hello");
    let event: Event = decode(&bytes);
    let data = event.data.as_ref().unwrap();
    assert!(data.type_url.is_empty() && data.value.is_empty());
    assert_eq!(event.id.len(), 20);
    assert_eq!(event.encode_to_vec(), bytes);
}

#[test]
fn an_event_names_its_payload_with_the_prefix_of_talos() {
    let bytes = golden!("event_sequence_start");
    let event: Event = decode(&bytes);
    let data = event.data.as_ref().unwrap();
    assert_eq!(
        data.type_url.strip_prefix("talos/runtime/"),
        Some(SequenceEvent::full_name().as_str())
    );
    let payload = SequenceEvent::decode(data.value.as_slice()).unwrap();
    assert_eq!(payload.sequence, "reboot");
    assert_eq!(payload.action(), sequence_event::Action::Start);
    assert_eq!(payload.error, None);
    assert_eq!(event.encode_to_vec(), bytes);
}

#[test]
fn unknown_fields_and_enum_values_are_tolerated() {
    let event: MachineStatusEvent = decode(&golden!("event_machine_status_from_the_future"));
    assert_eq!(event.stage, 42);
    assert_eq!(event.stage(), MachineStage::Unknown);
    assert!(MachineStage::try_from(event.stage).is_err());
    let conditions = &event.status.as_ref().unwrap().unmet_conditions;
    assert_eq!(conditions[0].reason, "time is not synced");
}

#[test]
fn a_negative_line_count_is_written_as_ten_bytes() {
    let request = LogsRequest {
        namespace: "system".to_owned(),
        id: "kubelet".to_owned(),
        driver: common::ContainerDriver::Containerd.into(),
        follow: true,
        tail_lines: -1,
    };
    let bytes = golden!("logs_request_all_lines");
    assert_eq!(request.encode_to_vec(), bytes);
    assert_eq!(decode::<LogsRequest>(&bytes), request);
}

#[test]
fn a_watch_begins_with_an_empty_message() {
    let bytes = golden!("watch_subscribed");
    assert!(bytes.is_empty());
    assert!(decode::<WatchResponse>(&bytes).event.is_empty());
}

#[test]
fn bootstrapped_carries_a_bookmark_and_a_tombstone() {
    let bytes = golden!("watch_bootstrapped");
    let response: WatchResponse = decode(&bytes);
    let [event] = response.event.as_slice() else {
        panic!("one event, got {response:?}")
    };
    assert_eq!(event.event_type(), EventType::Bootstrapped);
    assert_eq!(event.bookmark.as_ref().map(Bytes::len), Some(16));
    let metadata = event.resource.as_ref().unwrap().metadata.as_ref().unwrap();
    assert_eq!(
        (metadata.id.as_str(), metadata.version.as_str()),
        ("", "undefined")
    );
    assert_eq!(response.encode_to_vec(), bytes);
}

#[test]
fn an_update_carries_both_versions_and_typed_specs() {
    let bytes = golden!("watch_updated");
    let response: WatchResponse = decode(&bytes);
    let event = &response.event[0];
    assert_eq!(event.event_type(), EventType::Updated);
    let stage = |resource: &Option<talos_proto::cosi::resource::Resource>| {
        let spec = resource.as_ref().unwrap().spec.as_ref().unwrap();
        MachineStatusSpec::decode(spec.proto_spec.clone())
            .unwrap()
            .stage()
    };
    assert_eq!(stage(&event.old), RuntimeMachineStage::MachineStageBooting);
    assert_eq!(stage(&event.resource), RuntimeMachineStage::MachineStageRunning);
    let metadata = event.resource.as_ref().unwrap().metadata.as_ref().unwrap();
    assert_eq!(
        metadata.created.as_ref().map(|created| created.nanos),
        Some(678_901_000)
    );
    assert_eq!(response.encode_to_vec(), bytes);
}

#[test]
fn a_cut_off_element_is_an_error_wherever_it_is_cut() {
    // Both hold a single element that goes to the end, so that no cut is at the end of a field.
    let (version, watch) = (golden!("version_one_of_many"), golden!("watch_updated"));
    for length in 1..version.len() {
        assert!(
            VersionResponse::decode(version.slice(..length)).is_err(),
            "{length} bytes"
        );
    }
    for length in 1..watch.len() {
        assert!(
            WatchResponse::decode(watch.slice(..length)).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn decoded_bytes_share_the_buffer() {
    let bytes = Bytes::from(
        common::Data {
            bytes: Bytes::from_static(&[7; 64]),
            ..Default::default()
        }
        .encode_to_vec(),
    );
    let data = common::Data::decode(bytes.clone()).unwrap();
    assert!(
        bytes.as_ptr_range().contains(&data.bytes.as_ptr()),
        "no copy of the payload"
    );
}

#[test]
fn names_of_messages_are_those_of_the_packages() {
    assert_eq!(
        MachineStatusSpec::full_name(),
        "talos.resource.definitions.runtime.MachineStatusSpec"
    );
    assert_eq!(
        MachineStatusSpec::type_url(),
        "/talos.resource.definitions.runtime.MachineStatusSpec"
    );
    assert_eq!(
        resource::config::MachineConfigSpec::full_name(),
        "resource.config.MachineConfigSpec"
    );
}
