//! The numbers inside the template.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::Page;

const TEMPLATE: &str = include_str!("../../assets/page.html");
const CSS: &str = include_str!("../../assets/page.css");
const ECHARTS: &str = include_str!("../../assets/echarts/echarts.min.js");
const CHARTS: &str = include_str!("../../assets/charts.js");
const SCRIPT: &str = include_str!("../../assets/page.js");

/// The page as HTML, in one piece.
pub fn render(page: &Page) -> Result<String, serde_json::Error> {
    let data = inert(&serde_json::to_string(page)?);
    let hashes: Vec<String> = [ECHARTS, CHARTS, SCRIPT].map(hash).into();
    let hashes = hashes.join(" ");
    let parts = [
        ("hashes", hashes.as_str()),
        ("css", CSS),
        ("data", &data),
        ("echarts", ECHARTS),
        ("charts", CHARTS),
        ("script", SCRIPT),
    ];
    let mut html = String::with_capacity(TEMPLATE.len() + ECHARTS.len() + data.len() + 40_000);
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        html.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        // What is put in is never searched for places: data may hold any text.
        html.push_str(parts.iter().find(|(key, _)| *key == name).map_or("", |(_, text)| text));
        rest = after;
    }
    html.push_str(rest);
    Ok(html)
}

/// As a source of scripts in a content security policy.
fn hash(script: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(script)))
}

/// JSON that can end no script element and open no comment in it, whatever its strings hold.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_cannot_leave_their_place() {
        let hostile = "</script><script>alert(1)</script><!--&\u{2028}{{css}}";
        let json = serde_json::to_string(hostile).unwrap();
        let inert = inert(&json);
        assert!(!inert.contains(['<', '>', '&', '\u{2028}']), "{inert}");
        assert_eq!(serde_json::from_str::<String>(&inert).unwrap(), hostile);
    }

    #[test]
    fn no_part_ends_the_element_that_it_stands_in() {
        for script in [ECHARTS, CHARTS, SCRIPT] {
            assert!(!script.to_ascii_lowercase().contains("</script"));
        }
        assert!(!CSS.contains("</"));
        assert!(hash("").starts_with("'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="));
    }
}
