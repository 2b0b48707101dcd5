"""Which actions of DynamoDB a function calls, and on which keys: a proxy that writes down and lets pass."""

import http.client
import json
import pathlib

from services import Handler, Serving

DECLARED = pathlib.Path(__file__).resolve().parents[2] / "infra/permissions.json"


class Recording(Serving):
    """Stands before whatever serves the database on this port. An answer that is lost behind it is lost before it, too."""

    def __init__(self, port):
        self.port = port
        self.calls = set()

    def handler(self):
        recording = self

        class Proxy(Handler):
            def do_POST(self):
                body = self.body()
                recording.calls |= set(touched(self.headers.get("X-Amz-Target", "").rpartition(".")[2], json.loads(body)))
                connection = http.client.HTTPConnection("127.0.0.1", recording.port, timeout=60)
                try:
                    headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
                    connection.request("POST", self.path, body, headers)
                    response = connection.getresponse()
                    answer = response.read()
                except OSError:
                    self.close_connection = True
                    return
                finally:
                    connection.close()
                self.answer(response.status, answer, [("Content-Type", response.getheader("Content-Type", "application/json"))])

        return Proxy


def touched(operation, body):
    """(table, action, beginning of a partition key) of everything in a request."""
    for table, items in body.get("RequestItems", {}).items():
        if isinstance(items, dict):
            keys = items["Keys"]
        else:
            # IAM lets whoever may write batches delete by them.
            yield from ((table, "dynamodb:DeleteItem", None) for item in items if "DeleteRequest" in item)
            keys = [item["PutRequest"]["Item"] for item in items if "PutRequest" in item]
        yield from ((table, f"dynamodb:{operation}", beginning(key["pk"])) for key in keys)
    if "TableName" in body:
        key = body.get("Item") or body.get("Key")
        if key is None:
            name = body["KeyConditionExpression"].split("pk = ")[1].split()[0]
            key = {"pk": body["ExpressionAttributeValues"][name]}
        yield body["TableName"], f"dynamodb:{operation}", beginning(key["pk"])


def beginning(value):
    """As infra/permissions.json writes it: `O#*`, or the whole key if it has no parts."""
    first, hash_sign, _ = value["S"].partition("#")
    return f"{first}#*" if hash_sign else first


def undeclared(function, calls):
    """What was called and is not in infra/permissions.json: actions on tables, and keys of FlowControl."""
    declared = json.loads(DECLARED.read_text(encoding="utf-8"))[function]
    actions = {(table, action) for table, action, _ in calls if action not in declared["calls"].get(table, [])}
    keys = {("FlowControl", key) for table, _, key in calls if table == "FlowControl"}
    return sorted(actions | {(table, key) for table, key in keys if key not in declared["control_keys"]})
