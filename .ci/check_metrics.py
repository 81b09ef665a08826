"""Whether a file is what Prometheus reads, and follows its conventions for names: check_metrics.py FILE

The parser is that of the Python client. It accepts more than is good, so that the rest is checked here."""

import re
import sys
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

TYPES = {"counter", "gauge", "histogram", "summary"}
# Base units: https://prometheus.io/docs/practices/naming/
NOT_BASE_UNITS = re.compile(r"_(ms|millis|milliseconds|us|micros|minutes|hours|days|kb|kib|mb|mib|bits|percent)(_|$)")
FEWEST = 20


def problems(text):
    declared = Counter(re.findall(r"^# TYPE (\S+) \S+$", text, re.MULTILINE))
    yield from (f"{name} is declared {times} times" for name, times in declared.items() if times > 1)
    families = list(text_string_to_metric_families(text))
    if len(families) < FEWEST:
        yield f"there are only {len(families)} metrics"
    # The parser takes _total off, so that a counter and a gauge of one name meet here, as they would in OpenMetrics.
    names = Counter(family.name for family in families)
    yield from (f"{name} is the name of {times} metrics" for name, times in names.items() if times > 1)
    samples = Counter((s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples)
    yield from (f"{sample} is there {times} times" for sample, times in samples.items() if times > 1)
    for family in families:
        name = family.name
        if family.type not in TYPES:
            yield f"{name} has no type: {family.type}"
        if not family.documentation.strip():
            yield f"{name} has no help"
        if not re.fullmatch(r"kad_[a-z][a-z0-9_]*", name):
            yield f"{name} is no name of ours"
        if NOT_BASE_UNITS.search(name):
            yield f"{name} is not in a base unit"
        if not family.samples:
            yield f"{name} has no sample"
        for sample in family.samples:
            if family.type == "counter" and sample.name != f"{name}_total":
                yield f"{sample.name} is a counter without _total"
            if family.type == "gauge" and re.search("_(total|count|sum|bucket)$", sample.name):
                yield f"{sample.name} is named as part of another type"
            if family.type == "counter" and sample.value < 0:
                yield f"{sample.name} is {sample.value}"


with open(sys.argv[1], encoding="utf-8") as file:
    found = list(problems(file.read()))
print("\n".join(found) or "no problem", file=sys.stderr if found else sys.stdout)
sys.exit(bool(found))
