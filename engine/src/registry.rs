//! Names of connectors, and what stands behind them. Everything inside a plan is resolved through a [`Registry`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::options::did_you_mean;
use crate::sink::SinkProvider;
use crate::source::SourceProvider;

/// Sources and sinks by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    sources: BTreeMap<&'static str, Arc<dyn SourceProvider>>,
    sinks: BTreeMap<&'static str, Arc<dyn SinkProvider>>,
}

impl Registry {
    /// Without any connector.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source; one of the same name is replaced.
    pub fn add_source(&mut self, provider: Arc<dyn SourceProvider>) {
        self.sources.insert(provider.name(), provider);
    }

    /// Adds a sink; one of the same name is replaced.
    pub fn add_sink(&mut self, provider: Arc<dyn SinkProvider>) {
        self.sinks.insert(provider.name(), provider);
    }

    /// The source called `name`, in any case.
    pub fn source(&self, name: &str) -> Result<&Arc<dyn SourceProvider>> {
        find(&self.sources, name, "source")
    }

    /// The sink called `name`, in any case.
    pub fn sink(&self, name: &str) -> Result<&Arc<dyn SinkProvider>> {
        find(&self.sinks, name, "sink")
    }

    /// Whether there is a source called `name`.
    pub fn has_source(&self, name: &str) -> bool {
        self.sources.contains_key(name.to_lowercase().as_str())
    }

    /// Whether there is a sink called `name`.
    pub fn has_sink(&self, name: &str) -> bool {
        self.sinks.contains_key(name.to_lowercase().as_str())
    }

    /// The names of all sources, sorted.
    pub fn source_names(&self) -> impl Iterator<Item = &'static str> {
        self.sources.keys().copied()
    }

    /// The names of all sinks, sorted.
    pub fn sink_names(&self) -> impl Iterator<Item = &'static str> {
        self.sinks.keys().copied()
    }
}

fn find<'a, T>(map: &'a BTreeMap<&'static str, T>, name: &str, what: &str) -> Result<&'a T> {
    map.get(name.to_lowercase().as_str()).ok_or_else(|| {
        let known = map.keys().copied().collect::<Vec<_>>().join(", ");
        Error::invalid(format!(
            "there is no {what} '{name}'{}; known are {known}",
            did_you_mean(name, map.keys().copied())
        ))
    })
}
