//! The Rust examples of the guides in `docs/` are compiled here, and run where they bring a
//! simulated cluster.

macro_rules! pages {
    ($($(#[$condition:meta])? $name:ident: $page:literal,)+) => {
        $(
            $(#[$condition])?
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../", $page))]
            struct $name;
        )+
    };
}

pages! {
    GettingStarted: "docs/getting-started.md",
    Security: "docs/security.md",
    Testing: "docs/testing.md",
    #[cfg(feature = "kube")]
    UpgradingTalos: "docs/upgrading-talos.md",
}
