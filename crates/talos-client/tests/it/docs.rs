//! The page for those who come from talosctl.

use std::{fs, path::Path};

use talos_client::proto::methods::METHODS;

#[test]
fn the_page_names_every_rpc_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coming-from-talosctl.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let missing: Vec<_> = METHODS
        .iter()
        .map(ToString::to_string)
        .filter(|method| !page.contains(&format!("`{method}`")))
        .collect();
    assert!(missing.is_empty(), "not named: {missing:?}");

    // Code that looks like `package.Service/Method` must be one.
    let named = page.split('`').skip(1).step_by(2).filter(|code| {
        let service = code.split('/').next().unwrap_or_default();
        code.matches('/').count() == 1 && METHODS.iter().any(|method| method.service == service)
    });
    for code in named {
        assert!(
            METHODS.iter().any(|method| method.to_string() == code),
            "{code} does not exist"
        );
    }
}
