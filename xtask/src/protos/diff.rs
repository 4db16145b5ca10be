//! Compares wire facts by full name.

use std::collections::BTreeMap;

use super::report::{Change, Class};
use super::schema::{
    Enum, Field, Item, Label, Message, Method, OptionName, Options, REMOVAL_OPTION, Reserved, Schema,
    Service, deprecated, join, removal,
};
use super::words::{declaration, from_to, label, reservation, signature, streaming};

/// Everything that differs on the wire between `old` and `new`; breaking changes first, then by name.
pub fn diff(old: &Schema, new: &Schema) -> Vec<Change> {
    let mut changes = Changes(Vec::new());
    for (name, item) in &old.items {
        match (item, new.items.get(name)) {
            (Item::Service(old), Some(Item::Service(new))) => changes.service(name, old, new),
            (Item::Message(old), Some(Item::Message(new))) => changes.message(name, old, new),
            (Item::Enum(old), Some(Item::Enum(new))) => changes.enumeration(name, old, new),
            (old, Some(new)) => {
                changes.breaking(
                    Class::Type,
                    old.keyword(),
                    name,
                    format!("is now a {}", new.keyword()),
                );
            }
            (old, None) => changes.item_removed(name, old),
        }
    }
    for (name, item) in new
        .items
        .iter()
        .filter(|(name, _)| !old.items.contains_key(*name))
    {
        changes.item_added(name, item);
    }
    changes.extensions(old, new);
    let mut changes = changes.0;
    changes.sort_by(|a, b| b.breaking.cmp(&a.breaking).then_with(|| a.name.cmp(&b.name)));
    changes
}

struct Changes(Vec<Change>);

impl Changes {
    fn push(
        &mut self,
        breaking: bool,
        class: Class,
        kind: &'static str,
        name: &str,
        detail: impl Into<String>,
    ) {
        self.0.push(Change {
            class,
            breaking,
            kind,
            name: name.to_owned(),
            detail: detail.into(),
        });
    }

    fn breaking(&mut self, class: Class, kind: &'static str, name: &str, detail: impl Into<String>) {
        self.push(true, class, kind, name, detail);
    }

    fn other(&mut self, class: Class, kind: &'static str, name: &str, detail: impl Into<String>) {
        self.push(false, class, kind, name, detail);
    }

    fn item_added(&mut self, name: &str, item: &Item) {
        self.other(Class::Added, item.keyword(), name, "");
        if let Item::Service(service) = item {
            for method in &service.methods {
                self.other(Class::Added, "rpc", &join(name, &method.name), signature(method));
            }
        }
    }

    fn item_removed(&mut self, name: &str, item: &Item) {
        self.breaking(Class::Removed, item.keyword(), name, "");
        if let Item::Service(service) = item {
            for method in &service.methods {
                self.breaking(Class::Removed, "rpc", &join(name, &method.name), "");
            }
        }
    }

    fn service(&mut self, name: &str, old: &Service, new: &Service) {
        self.options("service", name, &old.options, &new.options);
        let (old, new) = (
            by_name(&old.methods, |m| &m.name),
            by_name(&new.methods, |m| &m.name),
        );
        for (method, is) in &new {
            let full = join(name, method);
            match old.get(method) {
                Some(was) => self.method(&full, was, is),
                None => self.other(Class::Added, "rpc", &full, signature(is)),
            }
        }
        for method in old.keys().filter(|method| !new.contains_key(*method)) {
            self.breaking(Class::Removed, "rpc", &join(name, method), "");
        }
    }

    fn method(&mut self, name: &str, was: &Method, is: &Method) {
        if was.request != is.request {
            self.breaking(
                Class::Request,
                "rpc",
                name,
                from_to("request", &was.request, &is.request),
            );
        }
        if was.response != is.response {
            self.breaking(
                Class::Response,
                "rpc",
                name,
                from_to("response", &was.response, &is.response),
            );
        }
        if (was.client_streaming, was.server_streaming) != (is.client_streaming, is.server_streaming) {
            self.breaking(
                Class::Streaming,
                "rpc",
                name,
                from_to("streaming", streaming(was), streaming(is)),
            );
        }
        self.options("rpc", name, &was.options, &is.options);
    }

    fn message(&mut self, name: &str, old: &Message, new: &Message) {
        self.options("message", name, &old.options, &new.options);
        self.reserved("message", name, &old.reserved, &new.reserved);
        self.fields(name, old, new);

        let (old_enums, new_enums) = (by_name(&old.enums, |e| &e.name), by_name(&new.enums, |e| &e.name));
        self.nested("enum", name, &old_enums, &new_enums, Self::enumeration);
        let (old, new) = (
            by_name(&old.messages, |m| &m.name),
            by_name(&new.messages, |m| &m.name),
        );
        self.nested("message", name, &old, &new, Self::message);
    }

    fn nested<T>(
        &mut self,
        kind: &'static str,
        scope: &str,
        old: &BTreeMap<&str, &T>,
        new: &BTreeMap<&str, &T>,
        compare: fn(&mut Self, &str, &T, &T),
    ) {
        for (name, is) in new {
            let full = join(scope, name);
            match old.get(name) {
                Some(was) => compare(self, &full, was, is),
                None => self.other(Class::Added, kind, &full, ""),
            }
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            self.breaking(Class::Removed, kind, &join(scope, name), "");
        }
    }

    fn fields(&mut self, scope: &str, old: &Message, new: &Message) {
        let (was, is) = (
            by_name(&old.fields, |f| &f.name),
            by_name(&new.fields, |f| &f.name),
        );
        for (name, field) in &is {
            let full = join(scope, name);
            if let Some(previous) = was.get(name) {
                self.field(&full, previous, field);
            } else if old.reserved.holds(i64::from(field.number)) {
                let detail = format!("{} uses the reserved number {}", declaration(field), field.number);
                self.breaking(Class::NumberReused, "field", &full, detail);
            } else if let Some(previous) = old.fields.iter().find(|f| f.number == field.number) {
                let detail = format!(
                    "{} takes over the number of `{}`",
                    declaration(field),
                    declaration(previous)
                );
                self.breaking(Class::NumberReused, "field", &full, detail);
            } else {
                self.other(Class::Added, "field", &full, declaration(field));
            }
        }
        for (name, field) in was.iter().filter(|(name, _)| !is.contains_key(*name)) {
            let full = join(scope, name);
            if new.reserved.holds(i64::from(field.number)) {
                self.other(
                    Class::Removed,
                    "field",
                    &full,
                    format!("number {} is reserved", field.number),
                );
            } else {
                let detail = format!("number {} is not reserved", field.number);
                self.breaking(Class::Removed, "field", &full, detail);
            }
        }
    }

    fn field(&mut self, name: &str, was: &Field, is: &Field) {
        if was.number != is.number {
            self.breaking(
                Class::Number,
                "field",
                name,
                from_to("number", was.number, is.number),
            );
        }
        if was.ty != is.ty {
            self.breaking(Class::Type, "field", name, from_to("type", &was.ty, &is.ty));
        }
        if was.label != is.label {
            // Presence alone is invisible on the wire; a list is not.
            let lists = was.label == Label::Repeated || is.label == Label::Repeated;
            self.push(
                lists,
                Class::Label,
                "field",
                name,
                from_to("label", label(was.label), label(is.label)),
            );
        }
        if was.oneof != is.oneof {
            let shown = |oneof: &Option<String>| oneof.clone().unwrap_or_else(|| "none".to_owned());
            self.breaking(
                Class::Oneof,
                "field",
                name,
                from_to("oneof", shown(&was.oneof), shown(&is.oneof)),
            );
        }
        self.options("field", name, &was.options, &is.options);
    }

    fn enumeration(&mut self, name: &str, old: &Enum, new: &Enum) {
        self.options("enum", name, &old.options, &new.options);
        self.reserved("enum", name, &old.reserved, &new.reserved);
        let (was, is) = (
            by_name(&old.values, |v| &v.name),
            by_name(&new.values, |v| &v.name),
        );
        for (value_name, value) in &is {
            let full = join(name, value_name);
            if let Some(previous) = was.get(value_name) {
                if previous.number != value.number {
                    self.breaking(
                        Class::Number,
                        "value",
                        &full,
                        from_to("number", previous.number, value.number),
                    );
                }
                self.options("value", &full, &previous.options, &value.options);
            } else if old.reserved.holds(i64::from(value.number)) {
                let detail = format!("uses the reserved number {}", value.number);
                self.breaking(Class::NumberReused, "value", &full, detail);
            } else {
                let taken = old
                    .values
                    .iter()
                    .find(|v| v.number == value.number && !is.contains_key(v.name.as_str()));
                match taken {
                    Some(previous) => {
                        let detail = format!("takes over number {} of {}", value.number, previous.name);
                        self.breaking(Class::NumberReused, "value", &full, detail);
                    }
                    None => self.other(Class::Added, "value", &full, format!("= {}", value.number)),
                }
            }
        }
        for (value_name, value) in was.iter().filter(|(value_name, _)| !is.contains_key(*value_name)) {
            self.breaking(
                Class::Removed,
                "value",
                &join(name, value_name),
                format!("was {}", value.number),
            );
        }
    }

    fn reserved(&mut self, kind: &'static str, name: &str, was: &Reserved, is: &Reserved) {
        if was != is {
            self.other(
                Class::Reserved,
                kind,
                name,
                from_to("reserved", reservation(was), reservation(is)),
            );
        }
    }

    fn extensions(&mut self, old: &Schema, new: &Schema) {
        for (name, is) in &new.extensions {
            match old.extensions.get(name) {
                None => {
                    let detail = format!("{} of {}", declaration(&is.field), is.extendee);
                    self.other(Class::Added, "extension", name, detail);
                }
                Some(was) if was.extendee != is.extendee => {
                    self.breaking(
                        Class::Type,
                        "extension",
                        name,
                        from_to("of", &was.extendee, &is.extendee),
                    );
                }
                Some(was) => self.field(name, &was.field, &is.field),
            }
        }
        for name in old
            .extensions
            .keys()
            .filter(|name| !new.extensions.contains_key(*name))
        {
            self.breaking(Class::Removed, "extension", name, "");
        }
    }

    fn options(&mut self, kind: &'static str, name: &str, was: &Options, is: &Options) {
        if deprecated(was) != deprecated(is) {
            let detail = if deprecated(is) {
                ""
            } else {
                "no longer deprecated"
            };
            self.other(Class::Deprecated, kind, name, detail);
        }
        match (removal(was), removal(is)) {
            (was, is) if was == is => {}
            (None, Some(release)) => {
                self.other(
                    Class::RemovalAnnounced,
                    kind,
                    name,
                    format!("goes away in {release}"),
                );
            }
            (was, is) => {
                let shown = |release: Option<&str>| release.unwrap_or("no release").to_owned();
                let detail = from_to("goes away in", shown(was), shown(is));
                self.other(Class::RemovalAnnounced, kind, name, detail);
            }
        }
        for option in was
            .keys()
            .chain(is.keys().filter(|option| !was.contains_key(*option)))
        {
            let (before, after) = (was.get(option), is.get(option));
            let class = match option {
                OptionName::BuiltIn("deprecated") => continue,
                OptionName::Custom(_, REMOVAL_OPTION) if removal(was) != removal(is) => continue,
                OptionName::BuiltIn("packed") => Class::Packed,
                _ => Class::Option,
            };
            if before != after {
                let shown = |value: Option<&String>| value.map_or("unset", String::as_str).to_owned();
                self.other(
                    class,
                    kind,
                    name,
                    from_to(&option.to_string(), shown(before), shown(after)),
                );
            }
        }
    }
}

fn by_name<T>(list: &[T], name: impl Fn(&T) -> &String) -> BTreeMap<&str, &T> {
    list.iter().map(|entry| (name(entry).as_str(), entry)).collect()
}
