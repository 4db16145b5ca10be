//! What is to be mended in the bytes of specs from older nodes.

use anyhow::{Context, Result, bail};
use prost_reflect::{Kind, MessageDescriptor};

use super::{Earlier, Resources};

/// The shape of a message, as an expression of `talos_client::resource::convert::Shape`; `None` if nothing in it
/// was ever different.
pub fn of(resources: &Resources, message: &MessageDescriptor) -> Result<Option<String>> {
    within(resources, message, 0)
}

fn within(resources: &Resources, message: &MessageDescriptor, depth: u32) -> Result<Option<String>> {
    // Expressions contain themselves, and nothing that changed.
    if depth > 8 || !super::convert::has_type(message) && !message.is_map_entry() {
        return Ok(None);
    }
    let mut mends = Vec::new();
    for field in message.fields() {
        let number = field.number();
        if let Some(earlier) = resources
            .earlier
            .iter()
            .find(|earlier| earlier.name == field.full_name())
        {
            mends.push(mend(earlier, number)?);
        } else if let Kind::Message(inner) = field.kind()
            && let Some(shape) = within(resources, &inner, depth + 1)?
        {
            mends.push(format!("convert::Mend::Inside({number}, &{shape})"));
        }
    }
    Ok((!mends.is_empty()).then(|| format!("convert::Shape(&[{}])", mends.join(", "))))
}

fn mend(earlier: &Earlier, number: u32) -> Result<String> {
    let same = || {
        (earlier.number == number)
            .then_some(())
            .with_context(|| format!("{}: the number is not to change with this type", earlier.name))
    };
    Ok(match earlier.was.as_str() {
        "fixed32" => {
            same()?;
            format!("convert::Mend::Fixed32({number})")
        }
        "repeated string" => {
            same()?;
            format!("convert::Mend::Wrap({number})")
        }
        "map<string, string>" => format!(
            "convert::Mend::WrapMap {{ old: {}, new: {number} }}",
            earlier.number
        ),
        other => bail!("{}: nothing is known about {other}", earlier.name),
    })
}
