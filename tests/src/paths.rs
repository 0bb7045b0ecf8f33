//! Where the tools and the artefacts are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, bail};

/// The project's root folder.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.parent().unwrap_or(here).to_path_buf()
    })
}

/// Where cargo leaves what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The filter, as `make build` leaves it.
pub fn filter() -> anyhow::Result<PathBuf> {
    artefact("wasm32-wasip1/release/tollgate_filter.wasm")
}

/// The filter that does nothing.
pub fn empty_filter() -> anyhow::Result<PathBuf> {
    artefact("wasm32-wasip1/release/empty_filter.wasm")
}

/// Tollgate's filter with a way to make its VM trap.
pub fn trap_filter() -> anyhow::Result<PathBuf> {
    artefact("wasm32-wasip1/release/trap_filter.wasm")
}

/// The `tollgate` command.
pub fn tollgate() -> anyhow::Result<PathBuf> {
    artefact("release/tollgate")
}

fn artefact(path: &str) -> anyhow::Result<PathBuf> {
    let path = target().join(path);
    if !path.is_file() {
        bail!("{} is missing: run `make build`", path.display());
    }
    Ok(path)
}

/// Envoy's executable.
pub fn envoy() -> anyhow::Result<PathBuf> {
    tool("ENVOY")
}

/// A Python with the official clients.
pub fn python() -> anyhow::Result<PathBuf> {
    tool("PYTHON")
}

/// Node.
pub fn node() -> anyhow::Result<PathBuf> {
    tool("NODE")
}

/// The folder that has `node_modules` with the official clients.
pub fn node_modules() -> anyhow::Result<PathBuf> {
    tool("NODE_MODULES")
}

/// The folder of PostgreSQL's executables.
pub fn postgres_bin() -> anyhow::Result<PathBuf> {
    tool("PG_BIN")
}

/// A tool by the name that `make env` prints it under.
fn tool(name: &str) -> anyhow::Result<PathBuf> {
    static TOOLS: OnceLock<Result<BTreeMap<String, PathBuf>, String>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| installed().map_err(|error| format!("{error:#}")));
    match tools {
        Ok(tools) => tools.get(name).cloned().with_context(|| format!("the tools have no {name}")),
        Err(error) => bail!("{error}"),
    }
}

/// Installs what is missing and reads where it is.
fn installed() -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let setup = root().join("tests/tools/setup.sh");
    let status =
        Command::new(&setup).stdin(Stdio::null()).status().context("running tests/tools/setup.sh")?;
    if !status.success() {
        bail!("{} failed: {status}", setup.display());
    }
    let file = root().join(".tools/env");
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), PathBuf::from(value)))
        .collect())
}
