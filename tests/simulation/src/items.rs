//! Everything that a crowded object becomes, as text: two processes must print the same.

use std::fmt::Write as _;
use std::rc::Rc;

use flowlog_core::object::ObjectRef;

use crate::executor::alone;
use crate::fault::Plan;
use crate::pool::BEGIN;
use crate::process::{Code, Shape};
use crate::random::Random;
use crate::service::{Message, Service, What};
use crate::world::{Stored, World, set_now};

/// Rows of the object: more sources, ports and talkers than any list keeps.
const ROWS: usize = 30_000;

/// The items of a clean pass, one per line.
pub fn print(mapping: u8) -> String {
    set_now(BEGIN);
    let world = Rc::new(World::new(0, Shape::default(), Plan::None, false));
    let at = ObjectRef { bucket: "crowded".to_owned(), key: "crowded.log".to_owned() };
    let stored = Stored { etag: "1".to_owned(), bytes: object().into() };
    world.objects.borrow_mut().insert(at.clone(), stored);
    let service = Service::start(&world, Code { writes: mapping, knows: &[1, 2, 3] }, None);
    let what = What::Object { at, etag: None, time: None };
    let failed = alone(service.deliver(vec![Message { delivery: 0, what, received: 0 }]));
    let mut text = format!("failed {failed:?}\n");
    for item in world.tables.all_partials() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {} {:?} ", item.pk(), item.sk(), item.totals);
        for byte in item.blob {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn object() -> String {
    let mut random = Random::new(20_261_125);
    let mut text = String::from(
        "version interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status tcp-flags flow-direction vpc-id account-id\n",
    );
    for _ in 0..ROWS {
        let remote = random.below(3_000);
        let start = BEGIN - random.seconds(900);
        let action = *random.pick(&["ACCEPT", "REJECT"]);
        let _ = writeln!(
            text,
            "5 eni-{} 203.0.{}.{} 10.0.0.5 {} {} 6 {} {} {start} {} {action} OK {} ingress vpc-01 123456789012",
            random.below(6),
            remote / 250,
            remote % 250,
            random.between(32_768, 60_000),
            random.between(1, 5_000),
            random.between(1, 100),
            random.between(40, 90_000),
            start + 30,
            random.below(32),
        );
    }
    text
}
