//! An answer as CSV: a row for each entry of each of its lists, and for everything else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// An answer's rows. The first column names the list; the others are the fields of all entries, by name, and
/// empty where an entry has none. An entry of one value has it in `value`, as has what is no list at all, such
/// as bounds of errors and what the answer rests on; `key` then tells one from another. What is itself a list
/// or an object is JSON in its cell.
pub(super) fn csv_of(answer: &Value) -> Result<String, csv::Error> {
    let plain = |value: &Value| json!({ "value": value });
    let mut lists: Vec<(&String, Vec<Value>)> = Vec::new();
    for (name, value) in answer.as_object().into_iter().flatten() {
        let entries = match value {
            Value::Array(list) => list
                .iter()
                .map(|entry| if entry.is_object() { entry.clone() } else { plain(entry) })
                .collect(),
            Value::Object(map) => {
                map.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
            }
            value => vec![plain(value)],
        };
        lists.push((name, entries));
    }
    let fields: BTreeSet<&str> = lists
        .iter()
        .flat_map(|(_, list)| list.iter())
        .filter_map(Value::as_object)
        .flat_map(|entry| entry.keys().map(String::as_str))
        .collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["list"].into_iter().chain(fields.iter().copied());
    writer.write_record(header)?;
    for (name, list) in &lists {
        for entry in list {
            let cells = fields.iter().map(|field| entry.get(field).map_or_else(String::new, cell));
            writer.write_record(std::iter::once((*name).clone()).chain(cells))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_rows() {
        let answer = serde_json::json!({
            "error_bound": 7,
            "deliveries": { "done": 3 },
            "fields_lacking": ["vpc-id"],
            "ports": [{ "port": 22, "new": true }, { "port": 23, "new": null }],
            "sources": [{ "source": "203.0.113.1", "by": [1, 2] }],
        });
        let expected = "list,by,key,new,port,source,value\ndeliveries,,done,,,,3\nerror_bound,,,,,,7\n\
            fields_lacking,,,,,,vpc-id\nports,,,true,22,,\nports,,,,23,,\nsources,\"[1,2]\",,,,203.0.113.1,\n";
        assert_eq!(csv_of(&answer).unwrap(), expected);
        assert_eq!(csv_of(&Value::Null).unwrap(), "list\n");
    }
}
