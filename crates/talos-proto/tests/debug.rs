//! What `{:?}` prints: no secrets, and everything else.

use bytes::Bytes;
use talos_proto::common::{Data, PemEncodedCertificateAndKey};
use talos_proto::definitions::secrets::OsRootSpec;
use talos_proto::machine::apply_configuration_request::Mode;
use talos_proto::machine::{ApplyConfigurationRequest, ImageServiceCredentials};

const SECRET: &str = "swordfish";

#[test]
fn keys_are_left_out_also_inside_other_messages() {
    let pair = PemEncodedCertificateAndKey {
        crt: Bytes::from_static(b"public"),
        key: Bytes::from_static(SECRET.as_bytes()),
    };
    let spec = OsRootSpec {
        issuing_ca: Some(pair),
        token: SECRET.to_owned(),
        ..Default::default()
    };
    for text in [format!("{spec:?}"), format!("{spec:#?}")] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains("115, 119"), "{text}");
        assert!(
            text.contains("[redacted, 9 bytes]") && text.contains("public"),
            "{text}"
        );
    }
}

#[test]
fn passwords_are_left_out_but_user_names_are_not() {
    let credentials = ImageServiceCredentials {
        username: "anna".to_owned(),
        password: SECRET.to_owned(),
        ..Default::default()
    };
    let text = format!("{credentials:?}");
    assert!(text.contains("\"anna\"") && !text.contains(SECRET), "{text}");
}

#[test]
fn machine_configurations_and_file_contents_are_left_out() {
    let request = ApplyConfigurationRequest {
        data: Bytes::from_static(SECRET.as_bytes()),
        mode: Mode::Staged.into(),
        dry_run: true,
        ..Default::default()
    };
    assert_eq!(
        format!("{request:?}"),
        "ApplyConfigurationRequest { data: [redacted, 9 bytes], mode: Staged, dry_run: true, try_mode_timeout: None }"
    );
    let data = Data {
        bytes: Bytes::from_static(SECRET.as_bytes()),
        ..Default::default()
    };
    assert_eq!(
        format!("{data:?}"),
        "Data { metadata: None, bytes: [redacted, 9 bytes] }"
    );
}

#[test]
fn an_unknown_enum_value_is_printed_as_its_number() {
    let request = ApplyConfigurationRequest {
        mode: 42,
        ..Default::default()
    };
    assert!(format!("{request:?}").contains("mode: 42"));
}
