//! Specs of nodes of older releases, some fields of which had another number or type: all of `proto/earlier.toml`.

use talos_client::{
    Node,
    resource::{
        Resource,
        cri::RegistryConfig,
        etcd::{EtcdConfig, EtcdSpec},
        k8s::{ApiServerConfig, ControllerManagerConfig, KubeletConfig, SchedulerConfig},
        network::{LinkSpec, NfTablesChain},
    },
};
use talos_testkit::SimResource;

use crate::support::Sim;

/// A field with a length, as protobuf writes it.
fn field(number: u8, contents: &[u8]) -> Vec<u8> {
    assert!(number < 16 && contents.len() < 128, "one byte each");
    let length = u8::try_from(contents.len()).expect("short");
    [&[number << 3 | 2, length], contents].concat()
}

/// A `fixed32`, which is what numbers of two bytes were up to v1.11.
fn fixed32(number: u8, value: u32) -> Vec<u8> {
    let tag = u16::from(number) << 3 | 5;
    // Numbers from 16 on take two bytes.
    let tag = match u8::try_from(tag) {
        Ok(tag) if tag < 128 => vec![tag],
        _ => vec![
            u8::try_from(tag & 127).expect("seven bits") | 128,
            (tag >> 7) as u8,
        ],
    };
    [tag, value.to_le_bytes().to_vec()].concat()
}

async fn spec<R: Resource>(sim: &Sim, node: &Node, bytes: Vec<u8>) -> R {
    let id = R::DEFAULT_ID.unwrap_or("old");
    let resource = SimResource::new(R::TYPE, id).proto_bytes(bytes);
    sim.cluster.node(0).resources().put(resource);
    let found = node.resources().get_by_id::<R>(id).await;
    found
        .unwrap_or_else(|error| panic!("{}: {error:#}", R::TYPE))
        .spec
}

/// Up to v1.12 the flags of components were maps to texts; now each has several values.
#[tokio::test]
async fn flags_of_components_have_one_value_each_up_to_v1_12() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let flags = |number| {
        let entry = [field(1, b"v"), field(2, b"10")].concat();
        field(number, &entry)
    };
    let new = |number| {
        let values = [field(1, b"10"), field(1, b"11")].concat();
        let entry = [field(1, b"v"), field(2, &values)].concat();
        field(number, &entry)
    };
    macro_rules! check {
        ($($type:ident $before:literal $now:literal),+) => {
            $(
                let old: $type = spec(&sim, &node, flags($before)).await;
                assert_eq!(old.extra_args["v"], ["10"], "{}", $type::TYPE);
                let now: $type = spec(&sim, &node, new($now)).await;
                assert_eq!(now.extra_args["v"], ["10", "11"], "{}", $type::TYPE);
            )+
        };
    }
    check!(
        EtcdConfig 4 7,
        EtcdSpec 4 7,
        ApiServerConfig 7 13,
        ControllerManagerConfig 6 10,
        KubeletConfig 4 15,
        SchedulerConfig 3 8
    );
}

#[tokio::test]
async fn numbers_of_links_have_four_bytes_up_to_v1_11() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let link: LinkSpec = spec(&sim, &node, field(10, &fixed32(1, 300))).await;
    assert_eq!(link.vlan.expect("a VLAN").vid, 300);
    let bond = [(18, 1), (19, 0), (20, 1), (22, 65_535), (23, 1023)];
    let bond: Vec<u8> = bond
        .into_iter()
        .flat_map(|(number, value)| fixed32(number, value))
        .collect();
    let link: LinkSpec = spec(&sim, &node, field(11, &bond)).await;
    let bond = link.bond_master.expect("a bond");
    assert_eq!(
        (
            bond.num_peer_notif,
            bond.tlb_dynamic_lb,
            bond.all_slaves_active,
            bond.ad_actor_sys_prio,
            bond.ad_user_port_key
        ),
        (1, 0, 1, 65_535, 1023)
    );
    // As it is now: the VLAN's id is a varint.
    let link: LinkSpec = spec(&sim, &node, field(10, &[0x08, 0xac, 0x02])).await;
    assert_eq!(link.vlan.expect("a VLAN").vid, 300);
}

#[tokio::test]
async fn numbers_of_the_firewall_have_four_bytes_up_to_v1_11() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let range = [fixed32(1, 50_000), fixed32(2, 50_001)].concat();
    let ports = field(3, &field(1, &range));
    let rule = [field(7, &ports), field(9, &fixed32(1, 1280))].concat();
    let chain: NfTablesChain = spec(&sim, &node, field(4, &rule)).await;
    let rule = &chain.rules[0];
    assert_eq!(rule.clamp_mss.as_ref().expect("set").mtu, 1280);
    let ports = rule.match_layer4.as_ref().expect("set");
    let ports = ports.match_destination_port.as_ref().expect("set");
    assert_eq!((ports.ranges[0].lo, ports.ranges[0].hi), (50_000, 50_001));
}

/// Up to v1.9 the endpoints of a mirror were texts; now each is a message.
#[tokio::test]
async fn mirrors_of_registries_are_texts_up_to_v1_9() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let entry = [field(1, b"m"), field(2, &field(1, b"http://x"))].concat();
    let registries: RegistryConfig = spec(&sim, &node, field(1, &entry)).await;
    let mirror = &registries.registry_mirrors["m"];
    assert_eq!(mirror.mirror_endpoints[0].endpoint_endpoint, "http://x");
}
