"""Reads datagrams with the legacy package's own decoders: a line "json|bencode HEX" in, a line of JSON out, in step.

What was read is {"read": ...}, else it is {"failed": the exception's name}. Text, integers, lists, true, false and null stand
as they are; bytes are {"bytes": hex}, a dictionary is {"dict": [[name, ...], ...]}, and whatever else Python can read but
JSON cannot say is {"other": its name}.
"""

import json
import sys

import kademlia_dynamic.kademlia as package

DECODERS = {"json": package.json_decode, "bencode": package.bencode_decode}
# Deeper than any message; beyond it only the depth matters.
MAX_DEPTH = 12


def shown(value, depth=0):
    if depth > MAX_DEPTH:
        return {"other": "deep"}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else {"other": "integer"}
    if isinstance(value, str):
        return {"other": "surrogates"} if any("\ud800" <= letter <= "\udfff" for letter in value) else value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [shown(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {"dict": [[shown(name, depth + 1), shown(item, depth + 1)] for name, item in value.items()]}
    return {"other": type(value).__name__}


def answer(line):
    codec, _, spelled = line.strip().partition(" ")
    try:
        return {"read": shown(DECODERS[codec](bytes.fromhex(spelled)))}
    except Exception as error:  # whatever it is: a legacy node drops the datagram
        return {"failed": type(error).__name__}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(line)) + "\n")
sys.stdout.flush()
