//! Which metrics and labels are told: names are checked against those that exist, so that a slip of the pen leaves nothing out in silence.

use crate::metrics::choice::Glob;
use crate::metrics::manual;
use crate::nearest::nearest;

/// A value of a label is cut at this many bytes everywhere else; a longer one here is a mistake.
const VALUE_LIMIT: usize = crate::metrics::labels::VALUE_LIMIT;

/// A metric's name with `*` for any letters. It must mean a metric that there is.
pub(super) fn glob(text: &str) -> Result<String, String> {
    let names = manual::names();
    if names.iter().any(|name| Glob(text.into()).matches(name)) {
        return Ok(text.into());
    }
    Err(format!("no metric is called so{} (`tare metrics` lists them)", meant(&text.replace('*', ""), names.iter().map(String::as_str))))
}

/// A label that may be left out.
pub(super) fn dropped_label(text: &str) -> Result<String, String> {
    let labels = manual::labels();
    match labels.iter().find(|(name, _)| *name == text) {
        Some((_, true)) => Ok(text.into()),
        Some((_, false)) => Err("without this label two series would be one; allowed are labels that only describe".into()),
        None => {
            let free = labels.iter().filter(|(_, free)| *free).map(|(name, _)| *name);
            Err(format!("no label is called so{} (`tare metrics` lists them)", meant(text, free)))
        }
    }
}

/// `team=payments`. The name must be free.
pub(super) fn external_label(text: &str) -> Result<(String, String), String> {
    let allowed = || format!("allowed is \"name=value\" with a name of letters, digits and _ and a value of 1 to {VALUE_LIMIT} bytes");
    let (name, value) = text.split_once('=').ok_or_else(allowed)?;
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !word || value.is_empty() || value.len() > VALUE_LIMIT || value.chars().any(char::is_control) {
        return Err(allowed());
    }
    if name.starts_with("__") || name == "quantile" {
        return Err("Prometheus keeps this name for itself; take another".into());
    }
    if manual::labels().iter().any(|(taken, _)| *taken == name) {
        return Err("Tare has a label of this name; take another".into());
    }
    Ok((name.into(), value.into()))
}

fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(name, names).map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}
