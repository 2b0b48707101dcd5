//! EC2's answers.

use std::collections::BTreeMap;

use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use flowlog_core::alert::Subject;
use flowlog_core::detect::Identity;

/// Tags that say something for people.
pub(super) const KEYS: [&str; 3] = ["Name", "Owner", "owner"];

/// (resource, key) → value.
pub(super) type Tags = BTreeMap<(String, String), String>;

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interface {
    pub(super) id: String,
    account_id: String,
    vpc_id: String,
    pub(super) instance_id: String,
    description: String,
    /// As EC2 writes them.
    addresses: Vec<String>,
    tags: Vec<(String, String)>,
}

impl Interface {
    pub(super) fn is(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Interface(id) => *id == self.id,
            Subject::Address(address) => {
                let mut own = self.addresses.iter();
                own.any(|text| flowlog_core::record::Address::parse(text) == Some(*address))
            }
        }
    }

    /// What people call it; its own tags come before those of its instance.
    pub(super) fn identity(&self, tags: &Tags) -> Identity {
        let of = |key: &str| {
            let own = self.tags.iter().find(|(k, v)| k == key && !v.is_empty());
            let its = || tags.get(&(self.instance_id.clone(), key.to_owned()));
            own.map(|(_, value)| value).or_else(its).cloned()
        };
        Identity {
            interface_id: self.id.clone(),
            account_id: self.account_id.clone(),
            vpc_id: self.vpc_id.clone(),
            instance_id: self.instance_id.clone(),
            name: of("Name").unwrap_or_default(),
            owner: of("Owner").or_else(|| of("owner")).unwrap_or_default(),
            description: self.description.clone(),
        }
    }
}

/// What an answer to `DescribeNetworkInterfaces` lists.
pub(super) fn interfaces(text: &str) -> Result<Vec<Interface>, XmlDecodeError> {
    items(text, "networkInterfaceSet", |item| {
        let mut interface = Interface::default();
        while let Some(mut tag) = item.next_tag() {
            match tag.start_el().local() {
                "networkInterfaceId" => interface.id = data(&mut tag)?,
                "ownerId" => interface.account_id = data(&mut tag)?,
                "vpcId" => interface.vpc_id = data(&mut tag)?,
                "description" => interface.description = data(&mut tag)?,
                "attachment" => interface.instance_id = field(&mut tag, "instanceId")?,
                "privateIpAddressesSet" => {
                    interface.addresses.extend(each(&mut tag, "privateIpAddress")?);
                }
                "ipv6AddressesSet" => interface.addresses.extend(each(&mut tag, "ipv6Address")?),
                "tagSet" => {
                    while let Some(mut item) = tag.next_tag() {
                        interface.tags.push(pair(&mut item)?);
                    }
                }
                _ => {}
            }
        }
        Ok(interface)
    })
}

/// What an answer to `DescribeTags` lists.
pub(super) fn tags(text: &str) -> Result<Tags, XmlDecodeError> {
    let all = items(text, "tagSet", |item| {
        let (mut resource, mut key, mut value) = Default::default();
        while let Some(mut tag) = item.next_tag() {
            match tag.start_el().local() {
                "resourceId" => resource = data(&mut tag)?,
                "key" => key = data(&mut tag)?,
                "value" => value = data(&mut tag)?,
                _ => {}
            }
        }
        Ok(((resource, key), value))
    })?;
    Ok(all.into_iter().collect())
}

/// The code of an error.
pub(super) fn error_code(text: &str) -> Option<String> {
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    (plain && code.len() < 100).then(|| code.to_owned())
}

/// Every item of the list `set` below the root.
fn items<T>(
    text: &str,
    set: &str,
    read: impl Fn(&mut ScopedDecoder<'_, '_>) -> Result<T, XmlDecodeError>,
) -> Result<Vec<T>, XmlDecodeError> {
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    // The decoder takes an end of the text for an end of every element.
    if !text.trim_end().ends_with(&format!("</{}>", root.start_el().local())) {
        return Err(XmlDecodeError::custom("the answer breaks off"));
    }
    let mut found = Vec::new();
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().matches(set) {
            while let Some(mut item) = tag.next_tag() {
                found.push(read(&mut item)?);
            }
        }
    }
    Ok(found)
}

fn data(tag: &mut ScopedDecoder<'_, '_>) -> Result<String, XmlDecodeError> {
    Ok(try_data(tag)?.into_owned())
}

/// One field of an element; empty if it is not there.
fn field(element: &mut ScopedDecoder<'_, '_>, name: &str) -> Result<String, XmlDecodeError> {
    let mut found = String::new();
    while let Some(mut tag) = element.next_tag() {
        if tag.start_el().matches(name) {
            found = data(&mut tag)?;
        }
    }
    Ok(found)
}

/// One field of each item of a list.
fn each(list: &mut ScopedDecoder<'_, '_>, name: &str) -> Result<Vec<String>, XmlDecodeError> {
    let mut found = Vec::new();
    while let Some(mut item) = list.next_tag() {
        found.push(field(&mut item, name)?);
    }
    Ok(found)
}

fn pair(item: &mut ScopedDecoder<'_, '_>) -> Result<(String, String), XmlDecodeError> {
    let (mut key, mut value) = Default::default();
    while let Some(mut tag) = item.next_tag() {
        match tag.start_el().local() {
            "key" => key = data(&mut tag)?,
            "value" => value = data(&mut tag)?,
            _ => {}
        }
    }
    Ok((key, value))
}
