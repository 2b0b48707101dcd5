"""What data engines make of the same file: one scan, one thread, sums and refused connections.

    python3 tests/bench/engines.py duckdb|chdb|polars rows.log.gz

Each answers two questions: records, packets and bytes by interface, window of 300 s and action; and how often each
connection (source, destination, destination port, protocol) was refused at an interface. `flowlog analyze` answers these and
more. What is printed must be the same for all of them. The queries are ours; nobody who makes these engines tuned them.
"""

import sys

COLUMNS = (
    "version account_id interface_id srcaddr dstaddr srcport dstport protocol packets bytes start end action log_status"
).split()
NUMBERS = {"srcport", "dstport", "protocol", "packets", "bytes", "start", "end"}
# Grouped once, with source, destination and port only where a record was refused; the two answers are sums of that.
GROUPED = """
    select interface_id, {window} as win, action,
           case when action = 'REJECT' then srcaddr end as src, case when action = 'REJECT' then dstaddr end as dst,
           case when action = 'REJECT' then dstport end as port, case when action = 'REJECT' then protocol end as proto,
           count(*) as records, sum(packets) as packets, sum(bytes) as bytes
    from {source} where log_status = 'OK' group by 1, 2, 3, 4, 5, 6, 7"""
ANSWER = """
    select count(*), sum(records), sum(packets), sum(bytes) from
        (select interface_id, win, action, sum(records) as records, sum(packets) as packets, sum(bytes) as bytes
         from grouped group by 1, 2, 3)"""
PAIRS = """
    select count(*) from
        (select src, dst, port, proto, sum(records) from grouped where action = 'REJECT' group by 1, 2, 3, 4)"""


def duckdb(path):
    import duckdb as engine

    database = engine.connect(config={"threads": 1})
    kinds = ", ".join(f"'{c}': '{'BIGINT' if c in NUMBERS else 'VARCHAR'}'" for c in COLUMNS)
    source = (
        f"read_csv('{path}', delim=' ', header=true, nullstr='-', quote='', escape='', auto_detect=false, "
        f"compression='gzip', columns={{{kinds}}})"
    )
    database.execute("create temp table grouped as " + GROUPED.format(window="start // 300", source=source))
    return (*database.execute(ANSWER).fetchone(), database.execute(PAIRS).fetchone()[0])


def chdb(path):
    from chdb import session

    engine = session.Session()
    kinds = ", ".join(f"{c} {'Nullable(Int64)' if c in NUMBERS else 'String'}" for c in COLUMNS)
    source = f"file('{path}', 'CustomSeparatedWithNames', '{kinds}', 'gzip')"
    # Spaces separate, a dash stands for nothing.
    settings = (
        " settings max_threads = 1, format_custom_field_delimiter = ' ', format_custom_escaping_rule = 'CSV', "
        "format_csv_null_representation = '-', input_format_with_names_use_header = 0, "
        "max_parsing_threads = 1, input_format_parallel_parsing = 0"
    )
    grouped = GROUPED.format(window="intDiv(start, 300)", source=source)
    engine.query("create table grouped engine = Memory as " + grouped + settings)
    text = str(engine.query(ANSWER, "CSV")).strip() + "," + str(engine.query(PAIRS, "CSV")).strip()
    return tuple(map(int, text.split(",")))


def polars(path):
    import os

    os.environ["POLARS_MAX_THREADS"] = "1"
    import polars as engine

    col = engine.col
    refused = col("action") == "REJECT"
    rows = engine.scan_csv(
        path,
        separator=" ",
        quote_char=None,
        null_values=["-"],
        new_columns=COLUMNS,
        schema_overrides={c: engine.Int64 if c in NUMBERS else engine.String for c in COLUMNS},
    )
    only = {"src": "srcaddr", "dst": "dstaddr", "port": "dstport", "proto": "protocol"}
    sums = [col("packets").sum(), col("bytes").sum()]
    grouped = (
        rows.filter(col("log_status") == "OK")
        .select(
            "interface_id",
            (col("start") // 300).alias("win"),
            "action",
            "packets",
            "bytes",
            *[engine.when(refused).then(col(of)).alias(name) for name, of in only.items()],
        )
        .group_by("interface_id", "win", "action", *only)
        .agg(engine.len().alias("records"), *sums)
        .collect(engine="streaming")
    )
    cells = grouped.group_by("interface_id", "win", "action").agg(col("records").sum(), *sums)
    pairs = grouped.filter(refused).group_by(*only).agg(col("records").sum())
    total = cells.select(col("records", "packets", "bytes").sum()).row(0)
    return (cells.height, *total, pairs.height)


def main():
    name, path = sys.argv[1:]
    cells, records, packets, octets, pairs = {"duckdb": duckdb, "chdb": chdb, "polars": polars}[name](path)
    print(f"{records} records, {packets} packets, {octets} bytes, {cells} sums, {pairs} refused connections")


if __name__ == "__main__":
    main()
