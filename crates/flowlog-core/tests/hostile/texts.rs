//! Text that is broken on purpose, plain and compressed, with what must become of every line of it.

use flowlog_core::decode::{Fallback, Reason, RejectedLine};
use flowlog_core::format::Format;

use crate::support::{
    Expected, NODATA, ROW, Seen, Settings, V2, check, counts, decode, gzip, parsed,
};

const NOT: Expected = Expected::Unusable("not_a_flow_log");
const EMPTY: Expected = Expected::Unusable("empty");
const BAD_HEADER: Expected = Expected::Unusable("bad_header");

/// The default header, and these lines.
fn v2(lines: &str) -> String {
    format!("{V2}{lines}")
}

fn rejected(reason: Reason, good: u64) -> Expected {
    Expected::Read(counts(good, 0, 0, &[(reason, 1)]))
}

/// Each text as it is and compressed: the same becomes of both.
#[track_caller]
fn both(name: &str, text: impl AsRef<[u8]>, expected: &Expected) {
    check(name, text.as_ref(), expected);
    let compressed = match expected {
        // Nothing at all is no gzip, but an empty gzip is as empty.
        _ if text.as_ref().is_empty() => &EMPTY,
        expected => expected,
    };
    check(&format!("{name}, compressed"), &gzip(text.as_ref()), compressed);
}

#[test]
fn nothing_and_nearly_nothing() {
    for (name, text, expected) in [
        ("no byte", "", EMPTY),
        ("a line end", "\n", EMPTY),
        ("blank lines", "\n \r\n\t\n\n", EMPTY),
        ("comments", "# nothing\n#\n", EMPTY),
        ("a byte order mark", "\u{feff}", EMPTY),
        ("a header", V2, parsed(0)),
        ("a header without its end", V2.trim_end(), parsed(0)),
        ("one field", "start", parsed(0)),
        ("one letter", "x", NOT),
        ("a dash", "-\n", NOT),
    ] {
        both(name, text, &expected);
    }
}

#[test]
fn line_ends_and_spaces() {
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let spaced = |text: &str| text.replace(' ', "   ");
    let two = format!("{ROW}{ROW}");
    for (name, text, expected) in [
        ("a row", v2(ROW), parsed(1)),
        ("no final line end", v2(two.trim_end()), parsed(2)),
        ("CRLF", crlf(&v2(&two)), parsed(2)),
        ("CRLF, cut before its LF", crlf(&v2(&two)).trim_end_matches('\n').to_owned(), parsed(2)),
        ("runs of spaces", spaced(&v2(&two)), parsed(2)),
        ("tabs", v2(&two).replace(' ', "\t"), parsed(2)),
        ("spaces around", v2(&format!("  {}  \n", ROW.trim_end())), parsed(1)),
        ("blank lines between", v2(&format!("\n{ROW}\n\n{ROW}\n")), parsed(2)),
        ("comments between", v2(&format!("# a\n{ROW}#{ROW}{ROW}")), parsed(2)),
        // A lone carriage return ends no line, so all of it is one line with control characters.
        ("CR only", v2(&two).replace('\n', "\r"), NOT),
        ("CR in a row", v2(&format!("2 \r{ROW}")), rejected(Reason::NotText, 0)),
        ("two CRs", v2(&ROW.replace('\n', "\r\r\n")), rejected(Reason::NotText, 0)),
        ("form feed", v2(&ROW.replacen(' ', "\x0c", 1)), rejected(Reason::NotText, 0)),
        ("no-break space", v2(&ROW.replacen(' ', "\u{a0}", 1)), rejected(Reason::TooFewFields, 0)),
    ] {
        both(name, text, &expected);
    }
}

#[test]
fn bytes_that_are_no_text() {
    for (name, bytes) in [
        ("NUL", &b"\0"[..]),
        ("bell", b"\x07"),
        ("escape", b"\x1b[31m"),
        ("terminal title", b"\x1b]0;owned\x07"),
        ("delete", b"\x7f"),
        ("Latin-1", b"\xe4"),
        ("overlong", b"\xc0\xaf"),
        ("surrogate", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("half a character", b"\xe2\x82"),
    ] {
        // In every field of a row, and as a line of its own.
        for column in 0..14 {
            let mut words: Vec<Vec<u8>> =
                ROW.trim_end().split(' ').map(|w| w.as_bytes().to_vec()).collect();
            words[column].extend_from_slice(bytes);
            let bad = words.join(&b' ');
            let text = [V2.as_bytes(), ROW.as_bytes(), &bad, b"\n", ROW.as_bytes()].concat();
            both(&format!("{name} in column {column}"), text, &rejected(Reason::NotText, 2));
        }
        let alone = [V2.as_bytes(), bytes, b"\n", ROW.as_bytes()].concat();
        both(name, alone, &rejected(Reason::NotText, 1));
        both(&format!("{name} first"), [bytes, V2.as_bytes()].concat(), &NOT);
        let in_header = [b"version ", bytes, b" start\n2 x 1\n"].concat();
        both(&format!("{name} in the header"), in_header, &NOT);
    }
    // What is text, but no letter of an id, is as wrong and is never shown.
    for (name, word) in [
        ("right to left", "eni-\u{202e}1"),
        ("C1 control", "eni-\u{9b}31m"),
        ("zero width", "eni-\u{200b}1"),
        ("JSON", "eni-\"}{\""),
        ("shell", "eni-$(x)"),
        ("key separator", "eni-1#x"),
        ("path", "eni-1/../x"),
    ] {
        let row = ROW.replace("eni-1235b8ca123456789", word);
        both(name, v2(&format!("{row}{ROW}")), &rejected(Reason::BadIdentifier, 1));
    }
}

#[test]
fn headers() {
    let rows = format!("{ROW}{ROW}");
    let many = |n: usize| {
        let names: Vec<String> = (1..n).map(|n| format!("x{n}")).collect();
        let row: Vec<&str> = (1..n).map(|_| "y").collect();
        format!("start {}\n1 {}\n", names.join(" "), row.join(" "))
    };
    for (name, text, expected) in [
        ("a byte order mark", format!("\u{feff}{}", v2(&rows)), parsed(2)),
        ("files with marks joined", format!("\u{feff}{0}\u{feff}{0}", v2(&rows)), parsed(4)),
        ("repeated", v2(&v2(&rows)), parsed(2)),
        ("repeated and spaced", v2(&V2.replace(' ', "  ")), parsed(0)),
        ("underscores", format!("{}{rows}", V2.replace('-', "_")), parsed(2)),
        ("after blank lines and comments", format!("\n# x\n{}", v2(&rows)), parsed(2)),
        ("none, but rows of version 2", rows.clone(), parsed(2)),
        ("none, and another version", rows.replacen('2', "3", 1), NOT),
        ("none, and a first row that is wrong", rows.replacen("ACCEPT", "MAYBE", 1), NOT),
        ("capitals", v2(&rows).replacen("version", "Version", 1), NOT),
        ("commas", v2(&rows).replace(' ', ","), NOT),
        ("no known name", "foo bar\n".to_owned(), NOT),
        ("one field twice", "start end start\n1 1 1\n".to_owned(), BAD_HEADER),
        ("one field in both spellings", "log-status start log_status\n".to_owned(), BAD_HEADER),
        ("unknown columns", "start new-1 new_2 end\n1 x - 2\n".to_owned(), parsed(1)),
        ("the same unknown column twice", "start new new\n1 x y\n".to_owned(), parsed(1)),
        ("as many columns as there may be", many(64), parsed(1)),
        ("too many columns", many(65), BAD_HEADER),
        ("an unusable one in the middle", v2(&format!("{rows}start start\n{rows}")), BAD_HEADER),
    ] {
        both(name, text, &expected);
    }
    // Columns may be as many as a header has room for; the table of tokens must not overflow.
    for n in [255, 256, 257, 5_000] {
        both(&format!("{n} columns"), many(n), &BAD_HEADER);
    }
}

#[test]
fn rows_that_do_not_fit() {
    let cut = |fields: usize| {
        let row: Vec<&str> = ROW.split_whitespace().take(fields).collect();
        v2(&format!("{ROW}{}\n", row.join(" ")))
    };
    for fields in 1..14 {
        both(&format!("{fields} fields"), cut(fields), &rejected(Reason::TooFewFields, 1));
    }
    for extra in [1, 2, 50, 250, 1_000] {
        let row = format!("{}{}\n", ROW.trim_end(), " x".repeat(extra));
        both(&format!("{extra} more"), v2(&row), &rejected(Reason::TooManyFields, 0));
    }
    let words = ["junk", "-", "2", "OK", "\"quoted\"", "--", "eni-1 OK", "%00", "\\x1b[0m"];
    for word in words {
        both(word, v2(&format!("{word}\n{ROW}")), &rejected(Reason::TooFewFields, 1));
    }
    both("fourteen dashes", v2(&"- ".repeat(14)), &rejected(Reason::NoTimestamp, 0));
    let prefixed = v2(&format!("2026-11-01T00:00:00.000Z {ROW}"));
    both("an export's time before the row", prefixed, &rejected(Reason::TooManyFields, 0));
}

#[test]
fn lines_at_the_limit() {
    let limit = Settings::default().limits.line;
    let spaces = |length: usize| " ".repeat(length - ROW.trim_end().len());
    let row = |length: usize, end: &str| format!("{}{}{end}", spaces(length), ROW.trim_end());
    for end in ["\n", "\r\n", ""] {
        both("a row at the limit", v2(&row(limit, end)), &parsed(1));
        let long = v2(&row(limit + 1, end));
        both("a row over it", long, &rejected(Reason::LineTooLong, 0));
    }
    let marked = format!("\u{feff}{}{}", " ".repeat(limit + 1 - V2.len()), v2(ROW));
    both("a marked header at the limit", &marked, &parsed(1));
    both("and over it", marked.replacen(' ', "  ", 1), &NOT);
    // The rest of a long line must not be taken for a line, nor its carriage return for its end.
    for junk in [limit, limit + 1, limit + 2, limit + 3, 3 * limit, 1 << 20] {
        let text = v2(&format!("{}\r {ROW}{ROW}", "x".repeat(junk)));
        let reason =
            if junk + 1 + ROW.len() > limit { Reason::LineTooLong } else { Reason::NotText };
        check("a long line", text.as_bytes(), &rejected(reason, 1));
        let first = format!("{}\r{ROW}", "x".repeat(junk));
        check("a long first line", first.as_bytes(), &NOT);
        let marked = format!("\u{feff}{}\r{}", " ".repeat(junk - 4), "y".repeat(9));
        let marked = v2(&format!("{marked}\n{ROW}"));
        let reason = if junk + 6 > limit { Reason::LineTooLong } else { Reason::NotText };
        check("a marked line", marked.as_bytes(), &rejected(reason, 1));
    }
}

#[test]
fn no_data_skipped_data_and_late_data() {
    let skip = NODATA.replace("NODATA", "SKIPDATA");
    let text = v2(&format!("{ROW}{NODATA}{skip}{skip}junk\n{ROW}"));
    let all = counts(2, 1, 2, &[(Reason::TooFewFields, 1)]);
    both("one of each", &text, &Expected::Read(all.clone()));
    let late = Settings { horizon: 1_418_530_011, ..Settings::default() };
    let expected = flowlog_core::decode::Counts { parsed: 0, late: 2, ..all };
    assert_eq!(late.decode(text.as_bytes()).verdict, Expected::Read(expected));
    // No window, and still not lost.
    let timeless = "log-status interface-id\nNODATA eni-1\nSKIPDATA eni-1\nOK eni-1\n";
    let expected = counts(0, 1, 1, &[(Reason::NoTimestamp, 1)]);
    both("no times at all", timeless, &Expected::Read(expected));
    let full = ROW.replace("ACCEPT OK", "REJECT NODATA");
    both("NODATA with data", v2(&full), &Expected::Read(counts(0, 1, 0, &[])));
}

#[test]
fn several_formats_in_one_object() {
    let five = "version start end interface-id flow-direction traffic-path\n5 1 2 eni-1 egress 8\n";
    let gateway = "version start tgw-attachment-id packets-lost-blackhole\n6 1 tgw-attach-1 9\n";
    let text = format!("{}{five}{gateway}{V2}{ROW}", v2(ROW));
    both("v2, v5, transit gateway, v2", &text, &parsed(4));
    let seen = decode(text.as_bytes()).seen;
    let formats = seen.iter().filter(|s| matches!(s, Seen::Format(_))).count();
    assert_eq!(formats, 4, "{seen:#?}");
    // Rows of one format under the header of another are rejected, not read as something else.
    let mixed = v2(&format!("{ROW}5 1 2 eni-1 egress 8\n{ROW}"));
    both("no header of its own", mixed, &rejected(Reason::TooFewFields, 2));
}

/// Whoever may tag things, or name services, chooses words of a row.
#[test]
fn words_that_strangers_choose_make_no_header() {
    let timeless = "interface-id instance-tag\n";
    for (name, rows, reasons) in [
        ("a field's name", "eni-1 start\neni-1 1431280876\n", 2),
        ("the format's own words, turned", "instance-tag interface-id\neni-1 start\n", 2),
    ] {
        let expected = Expected::Read(counts(0, 0, 0, &[(Reason::NoTimestamp, reasons)]));
        both(name, format!("{timeless}{rows}"), &expected);
    }
    // With a time in the format, no word makes a header of a row.
    let text = "instance-tag ecs-service-name start\nversion start 1431280876\nend end 1\n";
    both("names of fields as tags", text, &parsed(2));
    // A repeated header is one, with times or without; another format's has another length.
    both("repeated", format!("{timeless}{timeless}"), &parsed(0));
    both("then another", format!("{timeless}{}", v2(ROW)), &parsed(1));
}

#[test]
fn a_tag_like_a_comment_hides_no_record() {
    let tag = "instance-tag interface-id start\n";
    both("tag", format!("{tag}#hidden eni-1 1431280876\n# a comment\n#\n"), &parsed(1));
    // Where the first column is no tag, AWS writes no `#`: that is a person's comment.
    both("version", v2(&format!("#{ROW}{ROW}")), &parsed(1));
    both("subnet", "subnet-id start\n#subnet-1 5\n", &parsed(0));
    // A format that is told, not read, holds for the first line, too.
    let format = "${instance-tag} ${interface-id} ${start}";
    let declared = Settings {
        fallback: Fallback::Declared(Format::from_log_format(format).unwrap()),
        ..Settings::default()
    };
    let text = "#hidden eni-1 1431280876\n# a comment\n#too eni-1 1431280877\n";
    assert_eq!(declared.decode(text.as_bytes()).verdict, parsed(2));
}

#[test]
fn without_a_header_the_format_must_be_told() {
    let format = "${version} ${interface-id} ${start} ${flow-direction}";
    let declared = Settings {
        fallback: Fallback::Declared(Format::from_log_format(format).unwrap()),
        ..Settings::default()
    };
    let verdict = |text: &str| declared.decode(text.as_bytes()).verdict;
    assert_eq!(verdict("5 eni-1 1 egress\n5 eni-1 2 -\n"), parsed(2));
    // Only version 5 is what AWS writes for these fields.
    for version in ["2", "3", "11", "-", "x", "+5", "5.0", "0x5"] {
        assert_eq!(verdict(&format!("{version} eni-1 1 egress\n")), NOT, "{version}");
    }
    assert_eq!(verdict("5 eni-1 1\n"), NOT);
    assert_eq!(verdict("5 eni-1 1 egress x\n"), NOT);
    // A header in the object is believed before anything else.
    assert_eq!(verdict(&v2(ROW)), parsed(1));
}

#[test]
fn bombs() {
    let rows = |n: usize| v2(&ROW.repeat(n));
    let bomb = Expected::Unusable("decompression_bomb");
    // 200 × input + 1 MiB: blank lines pack about 1000 : 1, rows far less.
    let blank = |n: usize| gzip(&vec![b'\n'; n]);
    // A line is taken for 64 bytes.
    check("as much as is free", &blank(16 << 10), &EMPTY);
    check("more lines than that", &blank(20 << 10), &bomb);
    check("a bomb", &blank(8 << 20), &bomb);
    check("a bomb after rows", &[gzip(rows(9).as_bytes()), blank(8 << 20)].concat(), &bomb);
    let nested = gzip(&gzip(&blank(8 << 20)));
    check("within another", &nested, &NOT);
    check("many rows", &gzip(rows(3_000).as_bytes()), &parsed(3_000));
    // An absolute bound, at its very byte.
    let text = rows(100);
    for (output, expected) in [(text.len(), parsed(100)), (text.len() - 1, bomb.clone())] {
        let mut settings = Settings::default();
        settings.limits.output = output as u64;
        assert_eq!(settings.decode(&gzip(text.as_bytes())).verdict, expected);
    }
    // What stands before the bound is judged first, and what stands after it never.
    let mut settings = Settings::default();
    settings.limits.output = V2.len() as u64 + 3;
    let late = gzip(v2("\n\n\nstart start\n").as_bytes());
    assert_eq!(settings.decode(&late).verdict, bomb);
    let early = gzip(format!("{}{}", "start start\n", "\n".repeat(400)).as_bytes());
    assert_eq!(settings.decode(&early).verdict, BAD_HEADER);
}

#[test]
fn rejected_lines_are_named_by_place_and_reason_alone() {
    let text = v2(&format!("{ROW}\njunk\n{}{ROW}", ROW.replace("20641", "x")));
    let seen = decode(text.as_bytes()).seen;
    let junk = V2.len() + ROW.len() + 1;
    let place = |line, offset: usize, reason, column| {
        Seen::Rejected(RejectedLine { line, offset: offset as u64, reason, column })
    };
    assert_eq!(seen[2], place(4, junk, Reason::TooFewFields, None));
    assert_eq!(seen[3], place(5, junk + 5, Reason::BadNumber, Some(6)));
}
