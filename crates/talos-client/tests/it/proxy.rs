//! Clients that reach their cluster through a proxy, and which of several they follow.

use talos_client::{
    Client, ErrorKind, Origin,
    config::{Context, Talosconfig},
    proxy::{NoProxy, Proxy, ProxyPolicy},
    transport::{Identity, ServerVerification, TlsConfig},
};
use talos_testkit::SimCluster;

use crate::{
    proxies::{TestProxy, environment},
    support::shown,
};

async fn cluster() -> SimCluster {
    SimCluster::builder().start().await.expect("started")
}

/// The cluster's talosconfig, with its only context changed.
fn talosconfig(cluster: &SimCluster, change: impl FnOnce(&mut Context)) -> Talosconfig {
    let mut talosconfig = Talosconfig::parse(cluster.talosconfig()).expect("valid");
    change(talosconfig.contexts.values_mut().next().expect("one context"));
    talosconfig
}

async fn works(builder: talos_client::ClientBuilder) {
    let client = builder.build().expect("a client");
    client.version().await.expect("answered");
}

#[tokio::test]
async fn the_proxy_url_of_the_context_is_used_even_for_loopback() {
    let cluster = cluster().await;
    let proxy = TestProxy::http(Some(cluster.node(0).socket_addr())).await;
    let other = TestProxy::http(None).await;
    let config = talosconfig(&cluster, |context| context.proxy_url = Some(proxy.url().into()));
    works(
        Client::builder()
            .talosconfig(config)
            .proxy_environment(environment(&other.url())),
    )
    .await;
    let endpoint = cluster.node(0).endpoint();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n\
         User-Agent: talos-client/{version} talos-transport/{version}\r\n\
         Proxy-Authorization: Basic bWU6U0VDUkVU\r\n\r\n"
    );
    assert_eq!(proxy.seen(), [expected]);
    assert_eq!(other.seen().len(), 0);
    let call = cluster.requests().of("/machine.MachineService/Version").remove(0);
    assert_eq!(call.metadata_values("proxy-authorization").count(), 0);
}

#[tokio::test]
async fn the_environment_is_followed_where_the_context_says_nothing() {
    let cluster = cluster().await;
    let proxy = TestProxy::http(Some(cluster.node(0).socket_addr())).await;
    let environment = environment(&proxy.url());
    // Loopback is never proxied by the environment.
    let config = talosconfig(&cluster, |_| ());
    works(
        Client::builder()
            .talosconfig(config)
            .proxy_environment(environment.clone()),
    )
    .await;
    assert_eq!(proxy.seen().len(), 0);

    // Only the proxy knows where this is.
    let name = cluster.node(0).fqdn();
    let config = talosconfig(&cluster, |context| context.endpoints = vec![name.clone()]);
    works(
        Client::builder()
            .talosconfig(config.clone())
            .proxy_environment(environment.clone()),
    )
    .await;
    assert!(
        proxy.seen()[0].starts_with(&format!("CONNECT {name}:50000 ")),
        "{:?}",
        proxy.seen()
    );

    let certificate = cluster.client_cert(["os:admin"]).expect("issued");
    works(
        Client::builder()
            .endpoints([name])
            .ca_pem(cluster.ca_pem())
            .client_certificate_pem(certificate.certificate_pem.clone(), certificate.key_pem.clone())
            .proxy_environment(environment),
    )
    .await;
    assert_eq!(proxy.seen().len(), 2);
}

#[tokio::test]
async fn what_the_builder_says_goes_first() {
    let cluster = cluster().await;
    let proxy = TestProxy::http(Some(cluster.node(0).socket_addr())).await;
    let other = TestProxy::http(None).await;
    let config = talosconfig(&cluster, |context| context.proxy_url = Some(other.url().into()));
    let builder = || Client::builder().talosconfig(config.clone());
    let own: Proxy = proxy.url().parse().expect("a proxy");
    works(builder().proxy(own.clone())).await;
    assert_eq!(proxy.seen().len(), 1);
    works(builder().proxy(ProxyPolicy::except(own, NoProxy::default()))).await;
    works(builder().proxy(ProxyPolicy::direct())).await;
    assert_eq!((proxy.seen().len(), other.seen().len()), (1, 0));
}

#[tokio::test]
async fn tls_settings_of_ones_own_pass_over_the_context_but_not_over_the_environment() {
    let cluster = cluster().await;
    let proxy = TestProxy::http(Some(cluster.node(0).socket_addr())).await;
    let other = TestProxy::http(None).await;
    let certificate = cluster.client_cert(["os:admin"]).expect("issued");
    let identity = Identity::from_pem(&certificate.certificate_pem, &certificate.key_pem).expect("a pair");
    let roots = ServerVerification::ca_pem(cluster.ca_pem()).expect("an authority");
    let tls = TlsConfig::builder(roots)
        .identity(identity)
        .build()
        .expect("settings");
    let config = talosconfig(&cluster, |context| {
        context.endpoints = vec![cluster.node(0).fqdn()];
        context.proxy_url = Some(other.url().into());
    });
    works(
        Client::builder()
            .talosconfig(config)
            .tls(tls)
            .proxy_environment(environment(&proxy.url())),
    )
    .await;
    assert_eq!((proxy.seen().len(), other.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_the_password_is_not() {
    let cluster = cluster().await;
    let proxy = TestProxy::http(None).await;
    let config = talosconfig(&cluster, |context| context.proxy_url = Some(proxy.url().into()));
    let client = Client::builder().talosconfig(config).build().expect("a client");
    let error = client.version().await.expect_err("refused");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Connect, Origin::Local),
        "{error:#}"
    );
    let text = shown(&error);
    let expected = format!(
        "no connection through the proxy http://{}: the proxy answered 403 Forbidden",
        proxy.address()
    );
    assert!(format!("{error:#}").contains(&expected), "{error:#}");
    assert!(!text.contains("SECRET") && !text.contains("U0VDUkVU"), "{text}");
    assert!(cluster.requests().all().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn an_unusable_environment_is_found_before_anything_is_dialled() {
    let cluster = cluster().await;
    let config = talosconfig(&cluster, |_| ());
    let error = Client::builder()
        .talosconfig(config)
        .proxy_environment(environment("http://me:SECRET@proxy:port"))
        .build()
        .expect_err("not a proxy");
    assert_eq!(error.kind(), ErrorKind::Config, "{error:#}");
    let text = shown(&error);
    assert!(text.contains("HTTPS_PROXY") && text.contains("port"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}
