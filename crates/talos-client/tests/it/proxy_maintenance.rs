//! Machines in maintenance mode behind a proxy.

use talos_client::{
    ErrorKind, Node, Origin,
    maintenance::Maintenance,
    proxy::{Proxy, ProxyPolicy},
    transport::Fingerprint,
};

use crate::{
    proxies::{TestProxy, environment},
    single_machine::{Machine, version},
    support::shown,
};

/// Nothing resolves it but the proxy: the domain `invalid` is reserved for that.
const NAME: &str = "new-machine.invalid";

/// A proxy of each kind in front of this machine, with what it is asked when somebody wants to go to [`NAME`].
async fn proxies(machine: &Machine) -> [(TestProxy, &'static str); 2] {
    let address = machine.endpoint.parse().expect("an address");
    [
        (
            TestProxy::http(Some(address)).await,
            "CONNECT new-machine.invalid:50000 HTTP/1.1",
        ),
        (
            TestProxy::socks5(address).await,
            "name new-machine.invalid port 50000",
        ),
    ]
}

/// The machine called [`NAME`], if it has this fingerprint.
fn behind(proxy: &TestProxy, fingerprint: Fingerprint) -> Node {
    let proxy: Proxy = proxy.url().parse().expect("a proxy");
    Maintenance::at(NAME)
        .fingerprint(fingerprint)
        .settings(|builder| builder.proxy(proxy))
        .build()
        .expect("a handle")
}

/// The first line of each request that the proxy saw.
fn asked(proxy: &TestProxy) -> Vec<String> {
    let first = |seen: &String| seen.lines().next().map(str::to_owned);
    proxy.seen().iter().filter_map(first).collect()
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_proxy_finds_the_machine_by_its_name_and_the_machine_learns_nothing_of_the_proxy() {
    let machine = Machine::in_maintenance().await;
    for (calls, (proxy, expected)) in proxies(&machine).await.into_iter().enumerate() {
        let node = behind(&proxy, machine.fingerprint());
        assert_eq!(node.name().as_str(), NAME);
        assert_eq!(version(&node).await, "v1.14.0");
        assert_eq!(asked(&proxy), [expected]);
        assert_eq!(machine.told("runtime").len(), calls + 1);
    }
    for name in ["node", "nodes", "proxy-authorization", "authorization"] {
        assert_eq!(machine.told(name), [[""; 0]; 2], "{name}");
    }
}

#[tokio::test]
async fn the_fingerprint_is_pinned_through_a_proxy_as_well() {
    let (machine, other) = (Machine::in_maintenance().await, Machine::in_maintenance().await);
    for (proxy, expected) in proxies(&machine).await {
        let error = behind(&proxy, other.fingerprint())
            .version()
            .await
            .expect_err("another machine than the one that was meant");
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::Connect, Origin::Local),
            "{error:#}"
        );
        let (text, seen) = (shown(&error), machine.fingerprint().to_string());
        assert!(text.contains(&seen), "{text} does not show {seen}");
        assert!(!text.contains("SECRET"), "{text}");
        assert_eq!(asked(&proxy), [expected], "a lasting failure is not retried");
    }
    assert_eq!(machine.told("runtime").len(), 0, "nothing was sent");
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_proxy_of_the_environment_is_followed_and_that_of_a_talosconfig_is_not() {
    let machine = Machine::in_maintenance().await;
    let other = TestProxy::http(None).await;
    for (proxy, expected) in proxies(&machine).await {
        let node = Maintenance::at(NAME)
            .fingerprint(machine.fingerprint())
            .settings(|builder| {
                let mut context = talos_client::config::Context::new(["10.5.0.77"]);
                context.proxy_url = Some(other.url().into());
                let mut config = talos_client::config::Talosconfig::new();
                config.contexts.insert("main".to_owned(), context);
                config.context = "main".to_owned();
                builder
                    .talosconfig(config)
                    .proxy_environment(environment(&proxy.url()))
            })
            .build()
            .expect("a handle");
        assert_eq!(version(&node).await, "v1.14.0");
        assert_eq!(asked(&proxy), [expected]);
    }
    let direct = Maintenance::at(&machine.endpoint)
        .fingerprint(machine.fingerprint())
        .settings(|builder| {
            builder
                .proxy(ProxyPolicy::direct())
                .proxy_environment(environment(&other.url()))
        })
        .build()
        .expect("a handle");
    assert_eq!(version(&direct).await, "v1.14.0");
    assert_eq!(asked(&other), [""; 0]);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_its_password_is_not() {
    let machine = Machine::in_maintenance().await;
    let proxy = TestProxy::http(None).await;
    let node = behind(&proxy, machine.fingerprint());
    let error = node.version().await.expect_err("refused");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Connect, Origin::Local),
        "{error:#}"
    );
    assert_eq!(error.node().map(|node| node.as_str()), Some(NAME));
    let expected = format!("no connection through the proxy http://{}: ", proxy.address());
    let text = shown(&error);
    assert!(text.contains(&expected) && text.contains("403"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
    assert_eq!(machine.told("runtime").len(), 0, "nothing was sent");
}
