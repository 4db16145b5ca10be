use proptest::prelude::*;

use super::{Endpoint, EndpointError};

fn parse(text: &str) -> Result<Endpoint, EndpointError> {
    text.parse()
}

#[test]
fn reads_every_accepted_form() {
    for (input, dialled) in [
        ("10.5.0.2", "10.5.0.2:50000"),
        ("localhost", "localhost:50000"),
        ("www.company.com", "www.company.com:50000"),
        ("www.company.com.", "www.company.com.:50000"),
        ("node_1", "node_1:50000"),
        ("example.com:111", "example.com:111"),
        ("localhost:65535", "localhost:65535"),
        ("unix:50000", "unix:50000"),
        ("2001:db8::1", "[2001:db8::1]:50000"),
        ("2001:DB8:0:0::1", "[2001:db8::1]:50000"),
        ("::ffff:10.5.0.2", "[::ffff:10.5.0.2]:50000"),
        ("fd00::1:5000", "[fd00::1:5000]:50000"),
        ("[2001:db8::1]:8080", "[2001:db8::1]:8080"),
        ("[fd00::1]", "[fd00::1]:50000"),
        ("fe80::1%eth0", "[fe80::1%eth0]:50000"),
        ("[fe80::1%2]:444", "[fe80::1%2]:444"),
        ("https://111.1.1.1:444", "111.1.1.1:444"),
        ("https://www.company.com", "www.company.com:443"),
        ("HTTPS://www.company.com", "www.company.com:443"),
        ("https://www.company.com:", "www.company.com:443"),
        ("https://[fd00::1]", "[fd00::1]:443"),
        ("https://[fd00::1]:444", "[fd00::1]:444"),
        ("http://www.company.com", "www.company.com:50000"),
        ("grpc://222.22.2.1", "222.22.2.1:50000"),
        ("grpc://[fd00::1]:111", "[fd00::1]:111"),
        ("grpc://[fd00::1]", "[fd00::1]:50000"),
        ("grpc://[fe80::1%25eth0]", "[fe80::1%eth0]:50000"),
        (
            "https://user:secret@omni.example:8443/path?query#fragment",
            "omni.example:8443",
        ),
        ("talos+v1.x-y://cp/", "cp:50000"),
        ("unix:///run/machine.sock", "unix:///run/machine.sock"),
        ("unix:////run/machine.sock", "unix:///run/machine.sock"),
        ("unix:/run/machine.sock", "unix:///run/machine.sock"),
        ("UNIX:///run/a b?c#d", "unix:///run/a b?c#d"),
    ] {
        let endpoint = parse(input).unwrap_or_else(|error| panic!("{input}: {error}"));
        assert_eq!(endpoint.to_string(), dialled, "{input}");
        assert_eq!(parse(dialled).as_ref(), Ok(&endpoint), "{input}");
    }
}

#[test]
fn every_rule_has_its_own_error() {
    use EndpointError as E;
    let own = |text: &str| text.to_owned();
    for (input, error) in [
        ("", E::Empty),
        (":50000", E::MissingHost { input: own(":50000") }),
        (
            "https://",
            E::MissingHost {
                input: own("https://"),
            },
        ),
        (
            "https://:444",
            E::MissingHost {
                input: own("https://:444"),
            },
        ),
        (
            "[]:50000",
            E::MissingHost {
                input: own("[]:50000"),
            },
        ),
        (
            "host:",
            E::InvalidPort {
                input: own("host:"),
                port: own(""),
            },
        ),
        (
            "host:0",
            E::InvalidPort {
                input: own("host:0"),
                port: own("0"),
            },
        ),
        (
            "host:65536",
            E::InvalidPort {
                input: own("host:65536"),
                port: own("65536"),
            },
        ),
        (
            "host:+80",
            E::InvalidPort {
                input: own("host:+80"),
                port: own("+80"),
            },
        ),
        (
            "host:https",
            E::InvalidPort {
                input: own("host:https"),
                port: own("https"),
            },
        ),
        (
            "[fd00::1]:x",
            E::InvalidPort {
                input: own("[fd00::1]:x"),
                port: own("x"),
            },
        ),
        (
            " 10.5.0.2",
            E::IllegalCharacter {
                input: own(" 10.5.0.2"),
                character: ' ',
            },
        ),
        (
            "10.5.0.2\n",
            E::IllegalCharacter {
                input: own("10.5.0.2\n"),
                character: '\n',
            },
        ),
        (
            "10.5.0.2,10.5.0.3",
            E::IllegalCharacter {
                input: own("10.5.0.2,10.5.0.3"),
                character: ',',
            },
        ),
        (
            "host/path",
            E::IllegalCharacter {
                input: own("host/path"),
                character: '/',
            },
        ),
        (
            "größe.example",
            E::IllegalCharacter {
                input: own("größe.example"),
                character: 'ö',
            },
        ),
        (
            "1x://host",
            E::InvalidPort {
                input: own("1x://host"),
                port: own("//host"),
            },
        ),
        (
            "[fd00::1",
            E::Brackets {
                input: own("[fd00::1"),
            },
        ),
        (
            "[fd00::1]50000",
            E::Brackets {
                input: own("[fd00::1]50000"),
            },
        ),
        (
            "fd00:::1",
            E::InvalidIpv6 {
                input: own("fd00:::1"),
            },
        ),
        (
            "10.5.0.2:50000:1",
            E::InvalidIpv6 {
                input: own("10.5.0.2:50000:1"),
            },
        ),
        (
            "[host]:50000",
            E::InvalidIpv6 {
                input: own("[host]:50000"),
            },
        ),
        (
            "10.5.0.300",
            E::InvalidIpv4 {
                input: own("10.5.0.300"),
            },
        ),
        ("10.5.2", E::InvalidIpv4 { input: own("10.5.2") }),
        ("50000", E::InvalidIpv4 { input: own("50000") }),
        (
            "fe80::1%",
            E::InvalidZone {
                input: own("fe80::1%"),
            },
        ),
        (
            "[fe80::1%a/b]",
            E::InvalidZone {
                input: own("[fe80::1%a/b]"),
            },
        ),
        ("-host", E::InvalidName { input: own("-host") }),
        ("a..b", E::InvalidName { input: own("a..b") }),
        (
            "unix://",
            E::InvalidSocketPath {
                input: own("unix://"),
            },
        ),
        (
            "unix:///",
            E::InvalidSocketPath {
                input: own("unix:///"),
            },
        ),
        (
            "unix://host/path",
            E::InvalidSocketPath {
                input: own("unix://host/path"),
            },
        ),
        (
            "unix:///a\0b",
            E::InvalidSocketPath {
                input: own("unix:///a\0b"),
            },
        ),
    ] {
        assert_eq!(parse(input), Err(error), "{input}");
    }
}

#[test]
fn messages_quote_the_input_without_passwords_and_without_end() {
    let message = |input: &str| parse(input).unwrap_err().to_string();
    assert!(message("host:port").contains(r#""host:port""#));
    for secret in [
        "https://user:secret@ho st",
        "user:secret@host",
        "https://se@cret:secret@host:0/x@y",
    ] {
        assert!(!message(secret).contains("cret"), "{}", message(secret));
        assert!(!format!("{:?}", parse(secret).unwrap_err()).contains("cret"));
        assert!(message(secret).contains("ho"));
    }
    assert!(message(&"x/".repeat(10_000)).len() < 300);
}

#[test]
fn parts_are_without_brackets_and_names_without_zone() {
    let endpoint = parse("[fe80::1%eth0]:444").unwrap();
    assert_eq!(endpoint.host(), Some("fe80::1%eth0"));
    assert_eq!(endpoint.port(), Some(444));
    assert_eq!(endpoint.ip(), Some("fe80::1".parse().unwrap()));
    assert_eq!(endpoint.server_name(), Some("fe80::1"));
    assert_eq!(endpoint.authority(), "[fe80::1]:444");
    assert_eq!(endpoint.authority_host(), "[fe80::1]");

    let named = parse("cp.example.org.").unwrap();
    assert_eq!(named.host(), Some("cp.example.org."));
    assert_eq!(named.server_name(), Some("cp.example.org"));
    assert_eq!(named.authority_host(), "cp.example.org.");
    assert_eq!(named.ip(), None);

    let socket = parse("unix:///run/a.sock").unwrap();
    assert_eq!(
        (socket.host(), socket.port(), socket.server_name()),
        (None, None, None)
    );
    assert_eq!(socket.socket_path(), Some(std::path::Path::new("/run/a.sock")));
    assert_eq!(socket.authority(), "localhost");
}

#[test]
fn socket_addresses_convert() {
    let from = |text: &str| Endpoint::try_from(text.parse::<std::net::SocketAddr>().unwrap());
    assert_eq!(from("10.5.0.2:444"), parse("10.5.0.2:444"));
    assert_eq!(from("[fe80::1%3]:444"), parse("[fe80::1%3]:444"));
    assert!(matches!(
        from("10.5.0.2:0"),
        Err(EndpointError::InvalidPort { .. })
    ));
    assert!(matches!(
        Endpoint::unix("relative"),
        Err(EndpointError::InvalidSocketPath { .. })
    ));
}

proptest! {
    #[test]
    fn never_panics_and_what_it_accepts_round_trips(text in ".{0,40}") {
        round_trips(&text)?;
    }

    #[test]
    fn texts_of_the_right_alphabet_round_trip(text in "(https://|unix:/|grpc://)?[a-c0-3:.\\[\\]%/@-]{0,24}") {
        round_trips(&text)?;
    }

    #[test]
    fn all_addresses_and_ports_are_accepted(ip: std::net::IpAddr, port in 1_u16..) {
        let endpoint = Endpoint::try_from(std::net::SocketAddr::new(ip, port)).unwrap();
        prop_assert_eq!(endpoint.ip(), Some(ip));
        round_trips(&endpoint.to_string())?;
    }
}

fn round_trips(text: &str) -> Result<(), TestCaseError> {
    if let Ok(endpoint) = parse(text) {
        prop_assert_eq!(parse(&endpoint.to_string()), Ok(endpoint.clone()));
        prop_assert!(http::uri::Authority::try_from(endpoint.authority()).is_ok());
        prop_assert!(http::uri::Authority::try_from(endpoint.authority_host()).is_ok());
        if let Some(name) = endpoint.server_name() {
            prop_assert!(rustls_pki_types::ServerName::try_from(name).is_ok());
        }
    }
    Ok(())
}
