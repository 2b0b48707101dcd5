//! `flowlog test-alert`: one message through the topic, and who gets it, against an SNS of our own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

/// Answers each of `answers` once, to one request each, and returns the bodies that were sent.
fn sns(listener: &TcpListener, answers: &[&str]) -> Vec<String> {
    let mut asked = Vec::new();
    let mut answers = answers.iter();
    while answers.len() > 0 {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        // The client keeps its connection, or makes another one.
        while answers.len() > 0
            && let Some(body) = request(&mut reader)
        {
            asked.push(body);
            let answer = answers.next().unwrap();
            let mut stream = &stream;
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
        }
    }
    asked
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Some(String::from_utf8(body).unwrap())
}

/// Sends one while the topic has these subscriptions; what the command says, and what SNS was sent.
fn send(subscriptions: &[(&str, &str, &str)]) -> (Output, Vec<String>) {
    let members: Vec<String> = subscriptions
        .iter()
        .map(|(arn, protocol, endpoint)| {
            format!("<member><SubscriptionArn>{arn}</SubscriptionArn><Protocol>{protocol}</Protocol><Endpoint>{endpoint}</Endpoint></member>")
        })
        .collect();
    let published = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
    let listed = format!(
        "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions>{}</Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>",
        members.concat()
    );
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let child = Command::new(env!("CARGO_BIN_EXE_flowlog"))
        .args(["test-alert", "--topic", "arn:aws:sns:eu-west-1:123456789012:alerts"])
        .env_clear()
        .envs([("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", "eu-west-1")])
        .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let asked = sns(&listener, &[published, &listed]);
    (child.wait_with_output().unwrap(), asked)
}

const PENDING: (&str, &str, &str) = ("PendingConfirmation", "email", "a@example.com");
const QUEUE: (&str, &str, &str) =
    ("arn:aws:sns:eu-west-1:123456789012:alerts:1", "sqs", "arn:aws:sqs:eu-west-1:1:q");

#[test]
fn one_is_sent_and_who_gets_it_is_said() {
    let (output, asked) = send(&[PENDING, QUEUE]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said,
        "sent\n\
         email        a@example.com  NOT CONFIRMED: gets nothing\n\
         sqs          arn:aws:sqs:eu-west-1:1:q  confirmed\n"
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(asked[0].contains("Action=Publish") && asked[0].contains("TopicArn=arn%3Aaws%3Asns"));
    assert!(asked[0].contains("flowlog%20TEST"), "{}", asked[0]);
    assert!(asked[1].contains("Action=ListSubscriptionsByTopic"));
}

#[test]
fn nobody_hears() {
    for subscriptions in [&[][..], &[PENDING]] {
        let (output, _) = send(subscriptions);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.ends_with("nobody receives alerts: there is no confirmed subscription\n"));
        assert_eq!(output.status.code(), Some(1), "{said}");
    }
}
