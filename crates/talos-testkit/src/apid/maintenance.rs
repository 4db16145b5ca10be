//! Who may do what on a machine that knows no clients yet.

use std::net::IpAddr;

use crate::roles::Roles;

/// The roles of a client, which follow from its address: whoever comes through SideroLink is an administrator,
/// everybody else a reader.
pub(super) fn roles_of(peer: IpAddr) -> Roles {
    let siderolink = match peer {
        IpAddr::V6(address) => {
            let octets = address.octets();
            octets[0] == 0xfd && octets[7] == 0x03
        }
        IpAddr::V4(_) => false,
    };
    Roles::new([if siderolink { "os:admin" } else { "os:reader" }])
}

/// The roles of clients that a test says come through SideroLink.
pub(super) fn siderolink_roles() -> Roles {
    Roles::new(["os:admin"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siderolink_is_told_by_two_bytes_of_the_address() {
        for (peer, admin) in [
            ("10.5.0.1", false),
            ("::1", false),
            ("fd00::1", false),
            ("fdae:41e4:649b:9303::1", true),
            ("fe80:41e4:649b:9303::1", false),
        ] {
            assert_eq!(roles_of(peer.parse().unwrap()).is_admin(), admin, "{peer}");
        }
    }
}
