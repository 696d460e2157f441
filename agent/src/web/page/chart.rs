//! Small charts as SVG, without a style or a script in them: the classes have their colours in the style sheet.

use maud::{Markup, html};

use super::history::KEPT;

/// A line of the last looks; beside the newest stands a dot. Drawn to the largest of what is shown, `limit` among it.
pub(super) fn spark(values: impl Iterator<Item = f32>, limit: Option<f32>) -> Markup {
    draw(values, &[limit.map(|limit| ("limit", limit))], 96, 22, "spark")
}

/// The same, large, with lines across for what the values are held against.
pub(super) fn chart(values: impl Iterator<Item = f32>, lines: &[Option<(&'static str, f32)>]) -> Markup {
    draw(values, lines, 600, 120, "chart")
}

fn draw(values: impl Iterator<Item = f32>, lines: &[Option<(&'static str, f32)>], width: u16, height: u16, class: &str) -> Markup {
    let values: Vec<f32> = values.collect();
    let known = values.iter().copied().filter(|value| value.is_finite());
    // A limit far above would press the line flat: it is drawn where it is in sight.
    let most = known.fold(0.0_f32, f32::max);
    let seen = |line: &&(&str, f32)| class == "chart" || line.1 <= most * 4.0;
    let lines: Vec<_> = lines.iter().flatten().filter(seen).collect();
    let top = lines.iter().map(|line| line.1).fold(most, f32::max) * 1.08;
    let (wide, high) = (f32::from(width) - 4.0, f32::from(height) - 4.0);
    let x = |at: usize| 2.0 + wide * (KEPT - values.len() + at) as f32 / (KEPT - 1) as f32;
    let y = |value: f32| 2.0 + high * (1.0 - if top > 0.0 { value / top } else { 0.0 });
    let mut runs = vec![Vec::new()];
    for (at, value) in values.iter().enumerate() {
        match (value.is_finite(), runs.last_mut()) {
            (true, Some(run)) => run.push(format!("{:.1},{:.1}", x(at), y(*value))),
            (false, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    let newest = values.last().filter(|value| value.is_finite());
    html! {
        svg class=(class) viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) preserveAspectRatio="none" aria-hidden="true" {
            @for (word, value) in &lines {
                line class=(word) x1="0" x2=(width) y1={ (format!("{:.1}", y(*value))) } y2={ (format!("{:.1}", y(*value))) } {}
            }
            @for run in runs.iter().filter(|run| run.len() > 1) {
                polyline points=(run.join(" ")) {}
            }
            @if let Some(newest) = newest {
                circle cx={ (format!("{:.1}", x(values.len() - 1))) } cy={ (format!("{:.1}", y(*newest))) } r="1.8" {}
            }
        }
    }
}

/// What `parts` are of `whole`, side by side to scale; each is a class and an amount.
pub(super) fn bar(parts: &[(String, f64)], whole: f64, about: &str) -> Markup {
    let mut at = 0.0;
    let placed: Vec<_> = parts
        .iter()
        .map(|(class, amount)| {
            let from = at;
            at += amount / whole * 1000.0;
            (class, from, at - from)
        })
        .collect();
    html! {
        svg.bar viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label=(about) {
            @for (class, from, wide) in placed.iter().filter(|(_, _, wide)| *wide > 0.0) {
                rect class=(class) x={ (format!("{from:.2}")) } width={ (format!("{wide:.2}")) } height="14" {}
            }
        }
    }
}
