//! What goes over the wire, request by request, and what becomes of the answers.

use std::collections::BTreeMap;
use std::sync::Mutex;

use flowlog_core::store::contract;
use flowlog_core::store::item::{ClaimOutcome, Completed};
use flowlog_core::store::{
    AggregateReader as _, AggregateWriter as _, AlertStore as _, Ledger as _, LedgerReader as _,
    Quarantine as _, SummaryWriter as _,
};
use serde_json::{Value, json};

use super::patience::{BUSY, LOST};
use super::*;
use crate::replay::{self, Canned, Wire};

pub(super) fn store(wire: &Wire) -> DynamoDbStore {
    DynamoDbStore::new(&wire.config(), Tables::default())
}

/// A condition that was false, of this item or of none.
pub(super) fn refused(item: &Value) -> Canned {
    let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    let message = "The conditional request failed";
    replay::json(400, json!({ "__type": kind, "message": message, "Item": item }))
}

fn failure(status: u16, code: &str) -> Canned {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    replay::json(status, json!({ "__type": kind, "message": "because" }))
}

/// The ledger entry of [`contract::claim`] as it stands in the table.
fn entry(state: &str, more: Value) -> Value {
    let claim = contract::claim("wire");
    let mut item = json!({
        "pk": { "S": format!("O#{}", claim.batch) },
        "sk": { "S": "L" },
        "st": { "S": state },
        "m": { "N": "1" },
        "et": { "S": "etag-1" },
        "k": { "S": "s3://contract/wire" },
        "hz": { "N": "1790899200" },
        "ttl": { "N": "1796947200" },
    });
    if let (Value::Object(item), Value::Object(more)) = (&mut item, more) {
        item.extend(more);
    }
    item
}

#[tokio::test]
async fn a_claim_is_a_conditional_put_that_returns_the_old_entry() {
    let done = entry(
        "D",
        json!({
            "c": { "S": "{\"read\":1,\"parsed\":1,\"nodata\":0,\"skipdata\":0,\"rejected\":{},\"late\":0}" },
            "np": { "N": "1" },
            "h": { "S": "ab" },
        }),
    );
    let wire = Wire::new([replay::json(200, json!({})), refused(&done)]);
    let claim = contract::claim("wire");
    assert_eq!(store(&wire).claim(&claim).await.unwrap(), ClaimOutcome::Claimed);
    let ClaimOutcome::Exists(there) = store(&wire).claim(&claim).await.unwrap() else {
        panic!("claimed twice");
    };
    assert_eq!(there.completion.unwrap().counts.parsed, 1);
    assert_eq!((there.mapping, there.horizon), (1, claim.horizon));
    for asked in wire.asked() {
        assert_eq!(asked.header("x-amz-target"), Some("DynamoDB_20120810.PutItem"));
        assert_eq!(
            asked.json(),
            json!({
                "TableName": "FlowControl",
                "Item": entry("C", json!({})),
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            })
        );
    }
}

#[tokio::test]
async fn done_is_conditional_on_etag_and_state() {
    let digest = |digest: &str| json!({ "h": { "S": digest }, "np": { "N": "3" }, "c": { "S": "{\"read\":7,\"parsed\":3,\"nodata\":1,\"skipdata\":1,\"rejected\":{\"bad_address\":1},\"late\":1}" } });
    let completion = contract::completion('a');
    let wire = Wire::new([
        replay::json(200, json!({ "Attributes": entry("D", json!({})) })),
        refused(&entry("D", digest(&completion.digest))),
        refused(&entry("D", digest("other"))),
        refused(&entry("Q", json!({ "q": { "S": "zip_bomb" } }))),
    ]);
    let batch = contract::claim("wire").batch;
    for expected in [Completed::Done, Completed::Done, Completed::DigestChanged, Completed::Refused]
    {
        let completed = store(&wire).complete(batch, "etag-1", &completion).await.unwrap();
        assert_eq!(completed, expected);
    }
    let asked = &wire.asked()[0];
    assert_eq!(asked.header("x-amz-target"), Some("DynamoDB_20120810.UpdateItem"));
    assert_eq!(
        asked.json(),
        json!({
            "TableName": "FlowControl",
            "Key": { "pk": { "S": format!("O#{batch}") }, "sk": { "S": "L" } },
            "UpdateExpression": "SET st = :done, c = :counts, np = :partials, h = :digest",
            "ConditionExpression": "et = :etag AND st = :claimed",
            "ExpressionAttributeValues": {
                ":done": { "S": "D" },
                ":claimed": { "S": "C" },
                ":etag": { "S": "etag-1" },
                ":counts": digest("")["c"],
                ":partials": { "N": "3" },
                ":digest": { "S": "a".repeat(64) },
            },
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    );
}

#[tokio::test]
async fn quarantine_touches_only_what_is_claimed() {
    let wire = Wire::new([refused(&entry("D", json!({}))), refused(&Value::Null)]);
    let batch = contract::claim("wire").batch;
    store(&wire).quarantine(batch, "zip_bomb").await.unwrap();
    store(&wire).quarantine(batch, "zip_bomb").await.unwrap();
    let asked = wire.asked();
    assert_eq!(asked.len(), 2, "what is done, or nobody's, is not listed");
    assert_eq!(
        asked[0].json(),
        json!({
            "TableName": "FlowControl",
            "Key": { "pk": { "S": format!("O#{batch}") }, "sk": { "S": "L" } },
            "UpdateExpression": "SET st = :quarantined, q = :reason",
            "ConditionExpression": "st = :claimed",
            "ExpressionAttributeValues": {
                ":quarantined": { "S": "Q" }, ":claimed": { "S": "C" }, ":reason": { "S": "zip_bomb" },
            },
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    );
}

#[tokio::test]
async fn what_is_quarantined_is_listed_even_if_an_attempt_died_before_that() {
    let quarantined = entry("Q", json!({ "q": { "S": "zip_bomb" } }));
    let updated = replay::json(200, json!({ "Attributes": quarantined }));
    let batch = contract::claim("wire").batch;
    for first in [updated, refused(&quarantined)] {
        let wire = Wire::new([first, replay::json(200, json!({}))]);
        store(&wire).quarantine(batch, "zip_bomb").await.unwrap();
        let put = &wire.asked()[1];
        assert_eq!(put.header("x-amz-target"), Some("DynamoDB_20120810.PutItem"));
        let listed = json!({
            "pk": { "S": "Q" }, "sk": { "S": batch.to_string() }, "t": { "S": "Q" },
            "ttl": { "N": "1796947200" },
        });
        assert_eq!(put.json(), json!({ "TableName": "FlowControl", "Item": listed }));
    }
}

#[tokio::test]
async fn the_list_is_a_finding_aid_and_the_ledger_says_what_is() {
    let batch = contract::claim("wire").batch;
    let listed = json!({ "pk": { "S": "Q" }, "sk": { "S": batch.to_string() } });
    for (state, found) in [("Q", 1), ("C", 0), ("D", 0)] {
        let entry = entry(state, json!({ "q": { "S": "zip_bomb" } }));
        let wire = Wire::new([
            replay::json(200, json!({ "Items": [listed] })),
            replay::json(200, json!({ "Responses": { "FlowControl": [entry] } })),
        ]);
        let got = store(&wire).quarantined().await.unwrap();
        assert_eq!(got.len(), found, "{state}");
        assert!(got.iter().all(|(id, entry)| *id == batch && entry.reason.is_some()));
        assert_eq!(
            wire.asked()[0].json(),
            json!({
                "TableName": "FlowControl",
                "ConsistentRead": true,
                "KeyConditionExpression": "pk = :pk AND sk BETWEEN :from AND :to",
                "ExpressionAttributeValues": {
                    ":pk": { "S": "Q" }, ":from": { "S": " " }, ":to": { "S": "~" },
                },
            })
        );
    }
}

#[tokio::test]
async fn reopening_keeps_everything_but_the_state_and_the_reason() {
    let answers = [replay::json(200, json!({})), refused(&entry("D", json!({})))];
    let wire = Wire::new(answers);
    let batch = contract::claim("wire").batch;
    assert!(store(&wire).reopen(batch).await.unwrap());
    assert!(!store(&wire).reopen(batch).await.unwrap());
    assert_eq!(
        wire.asked()[0].json(),
        json!({
            "TableName": "FlowControl",
            "Key": { "pk": { "S": format!("O#{batch}") }, "sk": { "S": "L" } },
            "UpdateExpression": "SET st = :claimed REMOVE q",
            "ConditionExpression": "st = :quarantined",
            "ExpressionAttributeValues": { ":quarantined": { "S": "Q" }, ":claimed": { "S": "C" } },
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    );
}

#[tokio::test]
async fn what_is_not_processed_is_put_again() {
    let partials: Vec<_> = (0..3).map(|c| contract::partial("eni-w", 0, "wire", c)).collect();
    let put = |chunk: usize| {
        let item = replay_item(&partials[chunk]);
        json!({ "PutRequest": { "Item": item } })
    };
    let left = json!({ "UnprocessedItems": { "FlowAggregates": [put(0), put(2)] } });
    let none = json!({ "UnprocessedItems": {} });
    let wire = Wire::new([replay::json(200, left), replay::json(200, none)]);
    // The first one twice: one request may not name a key twice.
    let twice = [partials.clone(), partials[..1].to_vec()].concat();
    store(&wire).put_partials(&twice).await.unwrap();
    let asked = wire.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("x-amz-target"), Some("DynamoDB_20120810.BatchWriteItem"));
    let requests = |puts: &[Value]| json!({ "RequestItems": { "FlowAggregates": puts } });
    assert_eq!(asked[0].json(), requests(&[put(0), put(1), put(2)]));
    assert_eq!(asked[1].json(), requests(&[put(0), put(2)]));
}

/// A partial as it stands in the table.
fn replay_item(partial: &flowlog_core::store::PartialItem) -> Value {
    let n = |value: u64| json!({ "N": value.to_string() });
    let blob = ["AAEC/wA=", "AAEC/wE=", "AAEC/wI="][usize::from(partial.chunk)];
    json!({
        "pk": { "S": partial.pk() }, "sk": { "S": partial.sk() }, "t": { "S": "P" }, "m": n(1),
        "ar": n(3), "ap": n(30), "ab": n(u64::MAX - 3),
        "rr": n(2), "rp": n(20), "rb": n(u64::MAX - 2),
        "or": n(0), "op": n(0), "ob": n(u64::MAX),
        "b": { "B": blob },
        "ttl": { "N": partial.ttl().to_string() },
    })
}

#[tokio::test]
async fn a_table_that_processes_nothing_is_left_for_later() {
    let wire = Wire::serving(|asked| {
        Some(replay::json(200, json!({ "UnprocessedItems": asked.json()["RequestItems"] })))
    });
    let error = store(&wire).put_partials(&[contract::partial("eni-w", 0, "wire", 0)]).await;
    assert!(error.unwrap_err().is_retryable());
    assert_eq!(wire.asked().len(), BUSY as usize);
}

/// A table that puts what it is given, as far as its mood allows.
struct Moody {
    /// Keys and how often each was put.
    put: BTreeMap<String, u32>,
    calls: u32,
}

impl Moody {
    /// Answers one BatchWriteItem of which it processes this many.
    fn answer(&mut self, asked: &replay::Asked, processed: usize) -> Canned {
        self.calls += 1;
        let requests = asked.json()["RequestItems"]["FlowAggregates"].clone();
        let requests = requests.as_array().unwrap();
        assert!((1..=25).contains(&requests.len()));
        for request in &requests[..processed.min(requests.len())] {
            let item = &request["PutRequest"]["Item"];
            *self.put.entry(format!("{} {}", item["pk"], item["sk"])).or_default() += 1;
        }
        let left = requests.get(processed..).filter(|left| !left.is_empty());
        let left = left.map_or(json!({}), |left| json!({ "FlowAggregates": left }));
        replay::json(200, json!({ "UnprocessedItems": left }))
    }
}

/// From nothing to everything and back: first a calm table, then one that refuses by error, one
/// that processes nothing, one that processes a few of each batch, and a calm one again.
#[tokio::test]
async fn a_throttle_storm_costs_calls_while_it_lasts_and_hardly_any_after() {
    let partials: Vec<_> = (0..5000).map(|c| contract::partial("eni-w", 0, "storm", c)).collect();
    let table = Arc::new(Mutex::new(Moody { put: BTreeMap::new(), calls: 0 }));
    let shared = Arc::clone(&table);
    let wire = Wire::serving(move |asked| {
        let mut table = shared.lock().unwrap();
        Some(match table.calls {
            40..60 => {
                table.calls += 1;
                failure(400, "ProvisionedThroughputExceededException")
            }
            60..80 => {
                table.calls += 1;
                failure(500, "InternalServerError")
            }
            80..100 => table.answer(asked, 0),
            100..160 => table.answer(asked, 3),
            _ => table.answer(asked, 25),
        })
    });
    let store = store(&wire);
    store.put_partials(&partials).await.unwrap();
    let table = table.lock().unwrap();
    assert_eq!(table.put.len(), partials.len(), "nothing is lost");
    assert!(table.put.values().all(|times| *times == 1), "nothing that was processed is put again");
    let left = partials.len() - 40 * 25 - 60 * 3;
    let (least, calls) = (left.div_ceil(25), table.calls as usize - 160);
    assert!(2 * calls <= 3 * least, "{calls} calls after the storm, {least} would do");
    assert!(store.pace.limit() > 8.0, "back at pace {}", store.pace.limit());
}

#[tokio::test]
async fn writes_slow_down_while_the_table_throttles_and_clones_share_the_pace() {
    let wire = Wire::serving(|_| Some(failure(400, "ThrottlingException")));
    let store = store(&wire);
    let clone = store.clone();
    let partials: Vec<_> = (0..400).map(|c| contract::partial("eni-w", 0, "slow", c)).collect();
    assert!(clone.put_partials(&partials).await.unwrap_err().is_retryable());
    assert!(store.pace.limit() < 1.5, "one at a time: {}", store.pace.limit());
    // It recovers with the first calm minute, whoever has it.
    let calm = Wire::serving(|_| Some(replay::json(200, json!({ "UnprocessedItems": {} }))));
    let store = DynamoDbStore { pace: Arc::clone(&clone.pace), ..self::store(&calm) };
    for _ in 0..12 {
        store.put_partials(&partials).await.unwrap();
    }
    assert!(clone.pace.limit() > 15.0, "{}", clone.pace.limit());
}

/// Every call of the store waits a storm out: the caller hears nothing of it.
#[tokio::test]
async fn a_throttled_call_is_repeated_until_it_is_answered() {
    let codes = [
        (400, "ProvisionedThroughputExceededException"),
        (400, "ThrottlingException"),
        (400, "RequestLimitExceeded"),
        (400, "TransactionConflictException"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ];
    let storm = |answer: Value| {
        let refusals = codes.iter().cycle().take(30).map(|(status, code)| failure(*status, code));
        Wire::new(refusals.chain([replay::json(200, answer)]))
    };
    let claim = contract::claim("wire");
    let batch = claim.batch;

    let wire = storm(json!({}));
    assert_eq!(store(&wire).claim(&claim).await.unwrap(), ClaimOutcome::Claimed);
    let asked = wire.asked();
    assert_eq!(asked.len(), 31);
    assert!(asked.iter().all(|again| again.json() == asked[0].json()), "the same call");

    let wire = storm(json!({ "Attributes": entry("D", json!({})) }));
    let completed = store(&wire).complete(batch, "etag-1", &contract::completion('a')).await;
    assert_eq!(completed.unwrap(), Completed::Done);
    let wire = storm(json!({}));
    assert!(
        store(&wire).swap_state(&contract::a_state("port-scan", "eni-0a", 4), None).await.unwrap()
    );
    let wire = storm(json!({}));
    assert_eq!(store(&wire).state("port-scan", "eni-0a").await.unwrap(), None);
    let wire = storm(json!({}));
    assert!(store(&wire).spend_budget(1, 20, "token", 9).await.unwrap());
    let wire = storm(json!({ "Responses": { "FlowControl": [entry("C", json!({}))] } }));
    assert!(store(&wire).entries(&[batch]).await.unwrap()[0].is_some());
    let wire = storm(json!({ "Items": [] }));
    assert_eq!(store(&wire).sources("20261101", "20261101").await.unwrap(), []);
}

#[tokio::test]
async fn another_failure_is_repeated_a_few_times_only() {
    let wire = Wire::new([]);
    assert!(store(&wire).claim(&contract::claim("wire")).await.unwrap_err().is_retryable());
    assert_eq!(wire.asked().len(), LOST as usize, "a connection that is refused");
    let wire = Wire::serving(|_| Some(failure(400, "AccessDeniedException")));
    assert!(!store(&wire).claim(&contract::claim("wire")).await.unwrap_err().is_retryable());
    assert_eq!(wire.asked().len(), 1, "what is forbidden stays so");
}

#[tokio::test]
async fn a_read_is_consistent_and_follows_the_pages() {
    let partial = contract::partial("eni-w", 0, "wire", 1);
    let key = json!({ "pk": { "S": partial.pk() }, "sk": { "S": partial.sk() } });
    let summary =
        json!({ "pk": { "S": partial.pk() }, "sk": { "S": "W1793491200#S" }, "t": { "S": "S" } });
    let wire = Wire::new([
        replay::json(200, json!({ "Items": [replay_item(&partial)], "LastEvaluatedKey": key })),
        replay::json(200, json!({ "Items": [summary] })),
    ]);
    let window = partial.window;
    let got = store(&wire).partials(&partial.series, window, window).await.unwrap();
    assert_eq!(got, std::slice::from_ref(&partial));
    let mut expected = json!({
        "TableName": "FlowAggregates",
        "ConsistentRead": true,
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :from AND :to",
        "ExpressionAttributeValues": {
            ":pk": { "S": "E#fl-c0#eni-w#20261101" },
            ":from": { "S": "W1793491200#" },
            ":to": { "S": "W1793491200#P#~" },
        },
    });
    let asked = wire.asked();
    assert_eq!(asked[0].json(), expected);
    expected["ExclusiveStartKey"] = key;
    assert_eq!(asked[1].json(), expected);
}

#[tokio::test]
async fn the_ledger_is_read_consistently_and_to_the_end() {
    let wire = Wire::serving(|asked| {
        let keys = asked.json()["RequestItems"]["FlowControl"]["Keys"].clone();
        let (first, rest) = keys.as_array().unwrap().split_first().unwrap();
        let mut item = entry("C", json!({}));
        item["pk"] = first["pk"].clone();
        let left = json!({ "FlowControl": { "Keys": rest, "ConsistentRead": true } });
        let left = if rest.is_empty() { json!({}) } else { left };
        let found = json!({ "FlowControl": [item] });
        Some(replay::json(200, json!({ "Responses": found, "UnprocessedKeys": left })))
    });
    let batches = ["x", "y", "x"].map(|name| contract::claim(name).batch);
    let entries = store(&wire).entries(&batches).await.unwrap();
    assert!(entries.iter().all(Option::is_some));
    let asked = wire.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].json()["RequestItems"]["FlowControl"]["ConsistentRead"], true);
}

#[tokio::test]
async fn a_summary_replaces_the_version_it_was_made_from() {
    let [first, second] = [1, 2].map(|version| contract::summary("eni-w", 0, version));
    let mut put = Vec::new();
    let wire = Wire::serving(move |asked| {
        put.push(asked.json()["Item"].clone());
        Some(match put.len() {
            1 | 2 => replay::json(200, json!({})),
            3 => refused(&put[1]),
            _ => refused(&put[0]),
        })
    });
    let store = store(&wire);
    assert!(store.put_summary(&first).await.unwrap());
    assert!(store.put_summary(&second).await.unwrap());
    assert!(store.put_summary(&second).await.unwrap(), "the first response was lost");
    assert!(!store.put_summary(&second).await.unwrap(), "somebody else was first");
    let asked = wire.asked();
    let condition = |n: usize| asked[n].json()["ConditionExpression"].clone();
    assert_eq!(condition(0), json!("attribute_not_exists(pk)"));
    assert_eq!(condition(1), json!("v = :old"));
    let request = asked[1].json();
    assert_eq!(request["ExpressionAttributeValues"], json!({ ":old": { "N": "1" } }));
    assert_eq!(request["ReturnValuesOnConditionCheckFailure"], json!("ALL_OLD"));
    assert_eq!(request["Item"]["sk"], json!({ "S": "W1793494500#S" }));
    assert_eq!(request["Item"]["pk"], json!({ "S": "E#fl-c0#eni-w#20261101" }));
}

#[tokio::test]
async fn errors_are_classified_by_code_and_status() {
    let cases = [
        (failure(400, "ProvisionedThroughputExceededException"), true),
        (failure(400, "ThrottlingException"), true),
        (failure(400, "RequestLimitExceeded"), true),
        (failure(400, "ExpiredTokenException"), true),
        (failure(500, "InternalServerError"), true),
        (failure(503, "WhatNobodyKnows"), true),
        (failure(400, "ValidationException"), false),
        (failure(400, "AccessDeniedException"), false),
        (failure(400, "ResourceNotFoundException"), false),
        (failure(400, "UnrecognizedClientException"), false),
        ((200, Vec::new(), "{\"Attrib".to_owned()), true),
    ];
    for (answer, retryable) in cases {
        let text = format!("{answer:?}");
        let error = store(&Wire::new([answer])).claim(&contract::claim("wire")).await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable, "{text}: {error}");
    }
    let unreachable = store(&Wire::new([])).claim(&contract::claim("wire")).await.unwrap_err();
    assert!(unreachable.is_retryable());
    assert!(unreachable.to_string().contains("connection refused"), "{unreachable}");

    let config =
        crate::sdk::from_lookup(&|name| (name == "AWS_REGION").then(|| "eu-west-1".into()));
    let store = DynamoDbStore::new(&config, Tables::default());
    let no_credentials = store.claim(&contract::claim("wire")).await.unwrap_err();
    assert!(!no_credentials.is_retryable());
    assert!(no_credentials.to_string().contains("AWS_ACCESS_KEY_ID"), "{no_credentials}");
}
