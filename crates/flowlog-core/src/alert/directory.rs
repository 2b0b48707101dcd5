//! Who interfaces and addresses are, as people call them: instance, name, owner.
//!
//! Records of format version 11 carry some of it. Otherwise a directory is asked before an alert is
//! claimed, so that every copy of a message says the same. It is asked at most, never waited for: who
//! is not known stays an id, and no alert is lost or late because of it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::render::{ID, printable};
use crate::detect::{Finding, Identity, Parties, is_internal};
use crate::record::Address;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An interface by its id, `eni-…`.
    Interface(String),
    /// An address of ours.
    Address(Address),
}

/// What a look-up comes to: of each subject everybody whom it may mean, since VPCs may have the same addresses.
pub type LookUp<'a> = Pin<Box<dyn Future<Output = BTreeMap<Subject, Vec<Identity>>> + 'a>>;

/// Knows who interfaces are.
pub trait Directory: fmt::Debug {
    /// What is known of some of these. It takes a second or two at most and has no errors.
    fn look_up<'a>(&'a self, subjects: &'a [Subject]) -> LookUp<'a>;
}

/// Asks a directory for the parties of a finding.
pub async fn identify(finding: &mut Finding, directory: &dyn Directory) {
    let place = Some(&finding.interface_id).filter(|id| id.starts_with("eni-"));
    let place = place.map(|id| Subject::Interface(id.clone()));
    let inside = |address: Option<Address>| address.filter(is_internal).map(Subject::Address);
    let source = inside(finding.source);
    let target = inside(finding.target.and_then(|target| target.host));
    let mut subjects: Vec<Subject> =
        [&place, &source, &target].into_iter().flatten().cloned().collect();
    subjects.sort();
    subjects.dedup();
    if subjects.is_empty() {
        return;
    }
    let found = directory.look_up(&subjects).await;
    let of = |subject: Option<Subject>| {
        subject.and_then(|s| found.get(&s)).map_or(&[][..], Vec::as_slice)
    };
    finding.parties = Parties { place: only(of(place)).cloned(), ..Parties::default() };
    let (source, target) = (meant(finding, of(source)), meant(finding, of(target)));
    (finding.parties.source, finding.parties.target) = (source, target);
}

/// Which of those that have an address a finding means. In the VPC that recorded it an address is one interface's. Elsewhere
/// somebody has it who may be reached from there, or who knows nothing of it: nobody is meant if there are several, nor
/// somebody of another account, which the directory of this one does not know.
fn meant(finding: &Finding, all: &[Identity]) -> Option<Identity> {
    let (vpc, account) = (finding.seen_in(), &finding.account_id);
    let near: Vec<&Identity> =
        all.iter().filter(|who| !vpc.is_empty() && who.vpc_id == vpc).collect();
    if !near.is_empty() {
        return only(&near).copied().cloned();
    }
    let is_ours = |who: &&Identity| {
        account.is_empty() || who.account_id.is_empty() || who.account_id == *account
    };
    only(all).filter(is_ours).cloned()
}

fn only<T>(all: &[T]) -> Option<&T> {
    match all {
        [one] => Some(one),
        _ => None,
    }
}

impl Finding {
    /// The VPC of the interface that recorded it, by the records or else by a directory; empty where neither knows.
    fn seen_in(&self) -> &str {
        let place = self.parties.place.as_ref().map_or("", |place| &place.vpc_id);
        if self.vpc_id.is_empty() { place } else { &self.vpc_id }
    }

    /// ` ("web-1", instance i-…)` of a party, as far as known, with the VPC if that is another one; of a printable finding.
    pub(super) fn known(&self, party: Option<&Identity>) -> String {
        let Some(party) = party else { return String::new() };
        let mut text = party.to_text();
        if !text.is_empty() && !party.vpc_id.is_empty() && party.vpc_id != self.seen_in() {
            text = format!("{text}, VPC {}", party.vpc_id);
        }
        if text.is_empty() { text } else { format!(" ({text})") }
    }
}

impl Identity {
    /// `"web-1", instance i-…, owner "shop"`, as far as known; of a printable identity.
    fn to_text(&self) -> String {
        let mut parts = Vec::new();
        // Its description says what AWS manages; of an instance's interface it says nothing new.
        let name = if self.name.is_empty() && self.instance_id.is_empty() {
            &self.description
        } else {
            &self.name
        };
        if !name.is_empty() {
            parts.push(format!("\"{name}\""));
        }
        if !self.instance_id.is_empty() {
            parts.push(format!("instance {}", self.instance_id));
        } else if !self.interface_id.is_empty() {
            parts.push(self.interface_id.clone());
        }
        if !self.owner.is_empty() {
            parts.push(format!("owner \"{}\"", self.owner));
        }
        parts.join(", ")
    }

    fn printable(&self) -> Self {
        let id = |text: &str| printable(text, ID);
        let name = |text: &str| printable(&text.replace('"', "'"), ID);
        Self {
            interface_id: id(&self.interface_id),
            account_id: id(&self.account_id),
            vpc_id: id(&self.vpc_id),
            instance_id: id(&self.instance_id),
            name: name(&self.name),
            owner: name(&self.owner),
            description: name(&self.description),
        }
    }
}

impl Parties {
    /// The same, to be shown anywhere.
    pub(super) fn printable(&self) -> Self {
        let shown = |who: &Option<Identity>| who.as_ref().map(Identity::printable);
        Self { place: shown(&self.place), source: shown(&self.source), target: shown(&self.target) }
    }
}
