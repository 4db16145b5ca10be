//! The example programs are in the folders beside this one. Here, the Rust examples of the README and of the guides in
//! `docs/` are compiled, and run where they bring a simulated cluster.

macro_rules! pages {
    ($($name:ident: $page:literal,)+) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../", $page))]
            struct $name;
        )+
    };
}

pages! {
    Readme: "README.md",
    GettingStarted: "docs/getting-started.md",
    Security: "docs/security.md",
    Testing: "docs/testing.md",
}
