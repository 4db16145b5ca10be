//! Writes a tree as `.proto` files, in the one form that this repository uses.
//!
//! Reading the result gives the same tree again, and writing that gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use anyhow::{Context, Result};

use super::docs::{self, Comment, Docs};
use super::names::Names;
use super::schema::{
    Enum, Field, FileLayout, Item, Label, Message, Method, OptionName, Options, Reserved, Service, Tree,
    Type, join,
};

/// Highest field number; reserved ranges that end with it are written with `max`.
const MAX_FIELD: i64 = 536_870_911;

/// Highest number of an enum value; reserved ranges that end with it are written with `max`.
const MAX_VALUE: i64 = i32::MAX as i64;

/// Renders every file of `tree`, by path.
pub fn render(tree: &Tree) -> Result<BTreeMap<String, String>> {
    let names = Names::of(tree);
    let mut home: BTreeMap<&str, &str> = tree
        .foreign
        .iter()
        .map(|(name, file)| (name.as_str(), file.as_str()))
        .collect();
    for file in &tree.files {
        home.extend(
            file.items
                .iter()
                .chain(&file.extensions)
                .map(|name| (name.as_str(), file.path.as_str())),
        );
    }
    let render = |file: &FileLayout| {
        let mut writer = Writer {
            tree,
            docs: &tree.docs,
            names: &names,
            home: &home,
            package: &file.package,
            body: String::new(),
            imports: BTreeSet::new(),
        };
        writer
            .file(file)
            .with_context(|| format!("rendering {}", file.path))
    };
    tree.files
        .iter()
        .map(|file| Ok((file.path.clone(), render(file)?)))
        .collect()
}

struct Writer<'a> {
    tree: &'a Tree,
    docs: &'a Docs,
    names: &'a Names,
    /// Files by top-level item, extension or well-known type.
    home: &'a BTreeMap<&'a str, &'a str>,
    package: &'a str,
    body: String,
    imports: BTreeSet<&'a str>,
}

impl<'a> Writer<'a> {
    fn file(&mut self, file: &'a FileLayout) -> Result<String> {
        self.extensions(&file.extensions)?;
        for name in &file.items {
            self.body.push('\n');
            match self
                .tree
                .schema
                .items
                .get(name)
                .with_context(|| format!("there is no {name}"))?
            {
                Item::Service(service) => self.service(name, service)?,
                Item::Message(message) => self.message(name, message, 0)?,
                Item::Enum(item) => self.enumeration(name, item, 0)?,
            }
        }
        let body = std::mem::take(&mut self.body);

        let head = |key: &str| {
            self.docs
                .get(key)
                .map(|comment| block(comment, 0))
                .unwrap_or_default()
        };
        let mut text = head(&docs::syntax_key(&file.path));
        text.push_str("syntax = \"proto3\";\n\n");
        text.push_str(&head(&docs::package_key(&file.path)));
        let _ = writeln!(text, "package {};", file.package);
        self.imports.remove(file.path.as_str());
        if !self.imports.is_empty() {
            text.push('\n');
        }
        for import in &self.imports {
            let _ = writeln!(text, "import \"{import}\";");
        }
        text.push_str(&body);
        Ok(text)
    }

    fn line(&mut self, indent: usize, text: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.body, "{:indent$}{text}", "");
    }

    fn comment(&mut self, key: &str, indent: usize) {
        let Some(comment) = self.docs.get(key) else { return };
        // A detached block needs an empty line before it, or it belongs to what stands above.
        if !comment.detached.is_empty() && !self.body.ends_with("\n\n") {
            self.body.push('\n');
        }
        self.body.push_str(&block(comment, indent));
    }

    fn extensions(&mut self, names: &[String]) -> Result<()> {
        let extensions = &self.tree.schema.extensions;
        let mut open: Option<&str> = None;
        for name in names {
            let extension = extensions
                .get(name)
                .with_context(|| format!("there is no extension {name}"))?;
            if open != Some(&extension.extendee) {
                if open.is_some() {
                    self.line(0, "}");
                }
                let extendee = self.type_name(&extension.extendee, self.package)?;
                self.line(0, format_args!("\nextend {extendee} {{"));
                open = Some(&extension.extendee);
            }
            self.field(self.package, &extension.field, 2)?;
        }
        if open.is_some() {
            self.line(0, "}");
        }
        Ok(())
    }

    fn service(&mut self, name: &str, service: &Service) -> Result<()> {
        self.comment(name, 0);
        if service.options.is_empty() && service.methods.is_empty() {
            self.line(0, format_args!("service {} {{}}", service.name));
            return Ok(());
        }
        self.line(0, format_args!("service {} {{", service.name));
        self.option_lines(&service.options, name, 2)?;
        for (index, method) in service.methods.iter().enumerate() {
            if index > 0 || !service.options.is_empty() {
                self.body.push('\n');
            }
            self.method(name, method)?;
        }
        self.line(0, "}");
        Ok(())
    }

    fn method(&mut self, service: &str, method: &Method) -> Result<()> {
        self.comment(&join(service, &method.name), 2);
        let stream = |on: bool| if on { "stream " } else { "" };
        let request = self.type_name(&method.request, service)?;
        let response = self.type_name(&method.response, service)?;
        let declaration = format!(
            "rpc {}({}{request}) returns ({}{response})",
            method.name,
            stream(method.client_streaming),
            stream(method.server_streaming),
        );
        if method.options.is_empty() {
            self.line(2, format_args!("{declaration};"));
        } else {
            self.line(2, format_args!("{declaration} {{"));
            self.option_lines(&method.options, service, 4)?;
            self.line(2, "}");
        }
        Ok(())
    }

    fn message(&mut self, name: &str, message: &Message, indent: usize) -> Result<()> {
        self.comment(name, indent);
        let empty = Message {
            name: message.name.clone(),
            ..Message::default()
        };
        if *message == empty {
            self.line(indent, format_args!("message {} {{}}", message.name));
            return Ok(());
        }
        self.line(indent, format_args!("message {} {{", message.name));
        self.option_lines(&message.options, name, indent + 2)?;
        self.reserved(&message.reserved, MAX_FIELD, indent + 2);
        for nested in &message.enums {
            self.enumeration(&join(name, &nested.name), nested, indent + 2)?;
        }
        for nested in &message.messages {
            self.message(&join(name, &nested.name), nested, indent + 2)?;
        }
        let mut open: Option<&str> = None;
        for field in &message.fields {
            if open != field.oneof.as_deref() {
                if open.is_some() {
                    self.line(indent + 2, "}");
                }
                open = field.oneof.as_deref();
                if let Some(oneof) = open {
                    self.comment(&join(name, oneof), indent + 2);
                    self.line(indent + 2, format_args!("oneof {oneof} {{"));
                }
            }
            self.field(name, field, if open.is_some() { indent + 4 } else { indent + 2 })?;
        }
        if open.is_some() {
            self.line(indent + 2, "}");
        }
        self.line(indent, "}");
        Ok(())
    }

    fn field(&mut self, scope: &str, field: &Field, indent: usize) -> Result<()> {
        self.comment(&join(scope, &field.name), indent);
        let label = match field.label {
            Label::Singular => "",
            Label::Optional => "optional ",
            Label::Repeated => "repeated ",
        };
        let ty = self.field_type(&field.ty, scope)?;
        let options = self.option_list(&field.options, scope)?;
        self.line(
            indent,
            format_args!("{label}{ty} {} = {}{options};", field.name, field.number),
        );
        Ok(())
    }

    fn field_type(&mut self, ty: &Type, scope: &str) -> Result<String> {
        Ok(match ty {
            Type::Scalar(name) => (*name).to_owned(),
            Type::Named(name) => self.type_name(name, scope)?,
            Type::Map(key, value) => format!("map<{key}, {}>", self.field_type(value, scope)?),
        })
    }

    fn enumeration(&mut self, name: &str, item: &Enum, indent: usize) -> Result<()> {
        self.comment(name, indent);
        self.line(indent, format_args!("enum {} {{", item.name));
        self.option_lines(&item.options, name, indent + 2)?;
        self.reserved(&item.reserved, MAX_VALUE, indent + 2);
        for value in &item.values {
            self.comment(&join(name, &value.name), indent + 2);
            let options = self.option_list(&value.options, name)?;
            self.line(
                indent + 2,
                format_args!("{} = {}{options};", value.name, value.number),
            );
        }
        self.line(indent, "}");
        Ok(())
    }

    fn reserved(&mut self, reserved: &Reserved, max: i64, indent: usize) {
        for (first, last) in &reserved.ranges {
            match (first, last) {
                (first, last) if first == last => self.line(indent, format_args!("reserved {first};")),
                (first, last) if *last == max => self.line(indent, format_args!("reserved {first} to max;")),
                (first, last) => self.line(indent, format_args!("reserved {first} to {last};")),
            }
        }
        if !reserved.names.is_empty() {
            let names: Vec<_> = reserved.names.iter().map(|name| format!("\"{name}\"")).collect();
            self.line(indent, format_args!("reserved {};", names.join(", ")));
        }
    }

    fn option_lines(&mut self, options: &Options, scope: &str, indent: usize) -> Result<()> {
        for (name, value) in options {
            let name = self.option_name(name, scope)?;
            self.line(indent, format_args!("option {name} = {value};"));
        }
        Ok(())
    }

    fn option_list(&mut self, options: &Options, scope: &str) -> Result<String> {
        let mut list = Vec::with_capacity(options.len());
        for (name, value) in options {
            list.push(format!("{} = {value}", self.option_name(name, scope)?));
        }
        Ok(if list.is_empty() {
            String::new()
        } else {
            format!(" [{}]", list.join(", "))
        })
    }

    fn option_name(&mut self, name: &OptionName, scope: &str) -> Result<String> {
        match name {
            OptionName::BuiltIn(name) => Ok((*name).to_owned()),
            OptionName::Custom(full, _) => {
                self.import(full)?;
                Ok(format!("({})", self.names.qualified(full, scope)))
            }
        }
    }

    fn type_name(&mut self, target: &str, scope: &str) -> Result<String> {
        self.import(target)?;
        Ok(self.names.reference(target, self.package, scope))
    }

    /// Imports the file that holds `name`, an extension or a type that may be nested.
    fn import(&mut self, name: &str) -> Result<()> {
        let mut holder = name;
        let file = loop {
            if let Some(file) = self.home.get(holder) {
                break *file;
            }
            holder = holder
                .rsplit_once('.')
                .with_context(|| format!("no file holds {name}"))?
                .0;
        };
        self.imports.insert(file);
        Ok(())
    }
}

/// A comment as lines, its detached blocks with an empty line after each.
fn block(comment: &Comment, indent: usize) -> String {
    let mut text = String::new();
    for detached in &comment.detached {
        lines(detached, indent, &mut text);
        text.push('\n');
    }
    lines(&comment.lines, indent, &mut text);
    text
}

fn lines(lines: &[String], indent: usize, text: &mut String) {
    for line in docs::wrap(lines, indent) {
        let separator = if line.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:indent$}//{separator}{line}", "");
    }
}
