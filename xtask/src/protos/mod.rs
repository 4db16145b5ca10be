//! `cargo xtask protos`: keeps `proto/` in step with Talos.
//!
//! `proto/` is ours: its layout, order and comments. Only facts come from upstream: names, numbers, types,
//! labels, streaming, and the options that matter to users. A refresh reads both sides ([`read`],
//! [`upstream`]), compares them by full name ([`diff`]), brings upstream's facts into our layout ([`merge`]),
//! writes them in one canonical form ([`render`]) into a folder beside `proto/`, checks that folder against
//! upstream, and only then puts it in place ([`stage`]).

pub mod cycles;
pub mod diff;
pub mod docs;
pub mod extract;
pub mod locations;
pub mod merge;
pub mod names;
pub mod read;
pub mod render;
pub mod report;
pub mod rows;
pub mod schema;
pub mod source;
pub mod stage;
pub mod upstream;
pub mod words;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use self::report::{Format, Report};
use self::schema::Tree;
use self::source::Source;
use self::stage::Staged;
use self::upstream::Upstream;
use crate::{codegen, workspace};

/// Folder of the protos in the workspace.
const PROTO: &str = "proto";

/// Exit code of `protos diff` if something differs.
const DIFFERENT: u8 = 3;

/// Arguments of `cargo xtask protos`.
#[derive(Debug, Args)]
pub struct Protos {
    #[command(subcommand)]
    command: Command,
    /// Workspace to work on [default: the one this program was built from]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// What to do with the protos.
#[derive(Debug, Subcommand)]
enum Command {
    /// Bring proto/ and the generated code in line with upstream; comments, files and order stay
    ///
    /// Prints what differs on the wire, breaking changes first, then rewrites proto/ and regenerates the code.
    /// New items are placed next to their upstream neighbours and marked with a comment that starts with
    /// UNDOCUMENTED. Upstream's comments are never copied. If anything fails, for instance because a new RPC
    /// has no row in proto/methods.toml, every file stays as it was.
    Refresh {
        #[command(flatten)]
        from: From,
        /// Leave the generated code alone; run `cargo xtask codegen` later
        #[arg(long)]
        no_codegen: bool,
    },
    /// Print what differs on the wire between proto/ and upstream, and change nothing
    ///
    /// Exit codes: 0 nothing differs, 3 something does (a note alone is no difference), 1 the comparison
    /// failed, 2 wrong arguments.
    Diff {
        #[command(flatten)]
        from: From,
        /// How to print the differences
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Rewrite proto/ in its canonical form, with the same facts, files and comments
    Fmt {
        /// Write nothing; list the files that would change and fail if there are any
        #[arg(long)]
        check: bool,
    },
}

/// Where upstream's protos are.
#[derive(Debug, Args)]
struct From {
    /// Talos checkout, other folder with protos, or git URL
    ///
    /// A folder is read as it is (with --rev: as it was in that revision). Protos are looked up in its folder
    /// api/ if there is one, third-party ones in vendor/ below that. A URL is cloned into a temporary folder.
    #[arg(long, value_name = "FOLDER|URL")]
    from: String,
    /// Revision to read: for a URL a branch or tag, for a git checkout anything that git resolves
    ///
    /// A checkout is not touched: neither its files nor its index nor its branches.
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
    /// Further folder to look imports up in, such as proto/ of a cosi-project/specification checkout; may be
    /// given more than once
    #[arg(long, value_name = "DIR")]
    include: Vec<PathBuf>,
}

/// Runs the command; results go to `out`.
pub fn run(arguments: &Protos, out: &mut dyn Write) -> Result<ExitCode> {
    let root = arguments.root.clone().unwrap_or_else(workspace::root);
    let proto = root.join(PROTO);
    ensure!(proto.is_dir(), "there is no folder {}", proto.display());
    let ours = read::load(&proto)?;
    match &arguments.command {
        Command::Refresh { from, no_codegen } => refresh(&root, &ours, from, !no_codegen, out)?,
        Command::Diff { from, format } => {
            let report = from.read(&ours)?.report(&ours);
            write!(out, "{}", report.render(*format)?)?;
            if !report.changes.is_empty() {
                return Ok(ExitCode::from(DIFFERENT));
            }
        }
        Command::Fmt { check } => fmt(&root, &ours, *check, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl From {
    fn read(&self, ours: &Tree) -> Result<Upstream> {
        let source = Source::open(&self.from, self.rev.as_deref())?;
        let read = upstream::load(source.folder(), &self.include, ours);
        match source.origin() {
            Some(origin) => read.with_context(|| origin.to_owned()),
            None => read,
        }
    }
}

impl Upstream {
    fn report(&self, ours: &Tree) -> Report {
        Report::new(diff::diff(&ours.schema, &self.tree.schema), self.notes.clone())
    }
}

fn refresh(root: &Path, ours: &Tree, from: &From, regenerate: bool, out: &mut dyn Write) -> Result<()> {
    let upstream = from.read(ours)?;
    write!(out, "{}", upstream.report(ours).render(Format::Text)?)?;

    let (merged, moved) = merge::merge(ours, &upstream.tree);
    let staged = Staged::write(&root.join(PROTO), &render::render(&merged)?)?;
    check_staged(&staged, &merged)?;
    let read = read::load(&staged.proto())?.schema.sorted();
    ensure!(
        read == upstream.tree.schema.sorted(),
        "the rendered protos differ from upstream, which is a bug in xtask: {:?}",
        diff::diff(&upstream.tree.schema, &read)
    );
    rows::check(&staged.proto(), &merged.schema)?;
    let code = if regenerate {
        let code = codegen::generate(staged.root());
        Some(code.context("generating code from the new protos; nothing was changed")?)
    } else {
        None
    };

    let undocumented = merged
        .docs
        .keys()
        .filter(|key| !ours.docs.contains_key(*key))
        .count();
    let changes = staged.install(root, code.as_ref())?;
    for line in moved
        .iter()
        .cloned()
        .chain(changes.iter().map(ToString::to_string))
    {
        writeln!(out, "{line}")?;
    }
    if changes.is_empty() {
        writeln!(out, "every file is up to date")?;
    }
    if undocumented > 0 {
        writeln!(
            out,
            "{undocumented} new items wait for a comment; find them with: grep -rn UNDOCUMENTED: {PROTO}"
        )?;
    }
    if let Some(release) = rows::other_release(&root.join(PROTO), from.rev.as_deref())? {
        writeln!(
            out,
            "{PROTO}/methods.toml says talos-release = \"{release}\"; change it if that is no longer right"
        )?;
    }
    Ok(())
}

fn fmt(root: &Path, ours: &Tree, check: bool, out: &mut dyn Write) -> Result<()> {
    let rendered = render::render(ours)?;
    let staged = Staged::write(&root.join(PROTO), &rendered)?;
    check_staged(&staged, ours)?;
    if check {
        let changes = staged.changes(root, None)?;
        for change in &changes {
            writeln!(out, "{change}")?;
        }
        if !changes.is_empty() {
            bail!(
                "{} files are not in canonical form; run `cargo xtask protos fmt`",
                changes.len()
            );
        }
    } else {
        let changes = staged.install(root, None)?;
        for change in &changes {
            writeln!(out, "{change}")?;
        }
        if !changes.is_empty() {
            writeln!(out, "now run: cargo xtask codegen")?;
        }
    }
    Ok(())
}

/// Reads the staged files back: they must say exactly what was meant to be written.
fn check_staged(staged: &Staged, meant: &Tree) -> Result<()> {
    let read =
        read::load(&staged.proto()).context("reading the rendered protos back, which is a bug in xtask")?;
    let bug = "the rendered protos do not say what they should, which is a bug in xtask";
    ensure!(
        read.schema == meant.schema,
        "{bug}: {:?}",
        diff::diff(&meant.schema, &read.schema)
    );
    ensure!(read.files == meant.files, "{bug}: the order or the files differ");
    let words = |tree: &Tree| -> BTreeMap<String, Vec<Vec<String>>> {
        let owned = |block: Vec<&str>| block.into_iter().map(str::to_owned).collect();
        tree.docs
            .iter()
            .map(|(key, comment)| (key.clone(), comment.words().into_iter().map(owned).collect()))
            .collect()
    };
    let (read, meant) = (words(&read), words(meant));
    for (key, comment) in &meant {
        ensure!(
            read.get(key) == Some(comment),
            "{bug}: the comment of {key} differs"
        );
    }
    Ok(())
}
