"""What Schemathesis can't know: IDs that exist, and addresses of clusters that answer.

Most made-up requests would end at an ID that does not exist. Half of them get one that does; which half depends on the
request alone, so that a failure can be made small and repeated.
"""

import json
import os
import random
import re

import schemathesis

KNOWN = json.loads(os.environ["VECFERRY_FUZZ_KNOWN"])

# Names of values in bodies, and which IDs they take.
IN_BODIES = {"clusterId": "clusterId", "projectId": "projectId", "jobId": "jobId"}
ADDRESSES = {"connectAddress", "endpoint"}
# IDs that the service made.
MADE = re.compile(r"[a-z]+-[0-9a-f]{32}")


def filled(value, chance):
    if isinstance(value, list):
        return [filled(part, chance) for part in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for name, part in value.items():
        known = KNOWN["addresses"] if name in ADDRESSES else KNOWN["kept"].get(IN_BODIES.get(name))
        use = known and isinstance(part, str) and chance.random() < 0.7
        changed[name] = chance.choice(known) if use else filled(part, chance)
    return changed


def spare_what_was_learned(ids):
    """Schemathesis also takes IDs from answers, such as the key of the role that comes next: nothing that others need is
    removed by one of those."""
    for name, value in ids.items():
        if MADE.fullmatch(str(value)) and value not in KNOWN["kept"].get(name, []):
            spare = KNOWN["spare"].get(name)
            ids[name] = spare[0] if spare else "none"


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.method.upper() not in ("GET", "HEAD"):
        spare_what_was_learned(case.path_parameters or {})
    chance = random.Random(repr((case.method, case.path, case.path_parameters, case.query, repr(case.body))))
    if chance.random() < 0.3:
        return
    # What is removed or changed for good is not what everything else needs.
    ids = KNOWN["kept"] if case.method.upper() in ("GET", "POST") else KNOWN["spare"]
    if "/users/" in case.path:
        ids = dict(ids, userId=KNOWN["spare"]["userId"])
    for name in case.path_parameters or {}:
        if ids.get(name):
            case.path_parameters[name] = chance.choice(ids[name])
    case.body = filled(case.body, chance)
