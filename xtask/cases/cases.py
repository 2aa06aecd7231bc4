"""Makes and compares collections for `cargo xtask cases`: one JSON object a line in, one a line out.

{"do": "list", "server": "2.3.5"}                                     the cases that this server can hold
{"do": "seed", "server": "2.3.5", "source": {"uri": …, "token": …}, "case": "c01_dify"}
{"do": "compare", "source": {…}, "target": {…}, "collections": [["default", "c06_vector_store"]]}
{"do": "there", "target": {…}, "collections": […]}                    which of these collections exist
{"do": "drop", "server": …, "source": {…}, "target": {…}, "collections": […]}
"""

import contextlib
import json
import sys

import applications  # noqa: F401  (registers its cases)
import reports  # noqa: F401
from compare import Found, compare
from reading import Refused, Side
from seeding import CASES, Rand, Server, short


def sides(request):
    return [Side(label, request[label]["uri"], request[label]["token"]) for label in ("source", "target")]


def listed(request):
    return [case for case, (servers, _) in sorted(CASES.items()) if request["server"] in servers]


def seed(request):
    case = request["case"]
    server = Server(request["server"], request["source"]["uri"], request["source"]["token"])
    _, make = CASES[case]
    make(server, Rand(case))
    return {"collections": server.made, "rows": server.count, "notes": server.notes}


def compared(request):
    source, target = sides(request)
    for side in (source, target):
        for db, name in request["collections"]:
            # Loads take their time, so let all begin. Whether one fails is seen when it is waited for.
            with contextlib.suppress(Refused):
                side.begin_load(db, name)
    answers = []
    for db, name in request["collections"]:
        try:
            found = compare(source, target, db, name)
        except Exception as error:
            found = Found()
            found.differs(f"it could not be compared: {short(error)}")
        answers.append(vars(found))
    return answers


def there(request):
    target = Side("target", request["target"]["uri"], request["target"]["token"])
    return [[db, name] for db, name in request["collections"] if target.has(db, name)]


def drop(request):
    for label in ("source", "target"):
        server = Server(request["server"], request[label]["uri"], request[label]["token"])
        reader = Side(label, request[label]["uri"], request[label]["token"])
        for db, name in request["collections"]:
            if reader.has(db, name):
                server.drop(name, db)
    return None


DOES = {"list": listed, "seed": seed, "compare": compared, "there": there, "drop": drop}


def main():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": DOES[request["do"]](request)}
        except Exception as error:
            answer = {"error": short(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
