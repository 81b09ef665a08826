"""Runs nodes of the legacy package in one asyncio process, as JSON lines direct it on the standard input.

A command is {"id": ..., "do": name, ...its fields}; its answer is one line {"id": ..., "ok": {...}} or
{"id": ..., "error": "..."}, in the order in which commands end. A node is named by its number: the order in which it
was started. A value is {"text": ...}, {"base64": ...} or {} for none. The end of the input is the end of all nodes.
"""

import asyncio
import base64
import json
import logging
import socket
import sys
import threading

import kademlia_dynamic


def to_json(value):
    if value is None:
        return {}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    return {"text": value}


def from_json(value):
    return base64.b64decode(value["base64"]) if "base64" in value else value["text"]


def peers_to_json(peers):
    return [{"id": peer.node_id, "ip": peer.ip, "port": peer.port} for peer in peers]


def free_port():
    """A port that is free. A legacy node sets SO_REUSEADDR: were it to listen on port 0, the system might give it the
    port of another legacy node, of this process or another, and that one would hear nothing from then on. With 30 nodes
    that happens once in 60 networks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Complaints(logging.Handler):
    """What the package logs as an error: above all, messages that it could not handle."""

    LIMIT = 100

    def __init__(self):
        super().__init__(logging.ERROR)
        self.heard = []

    def hear(self, text):
        if len(self.heard) < self.LIMIT:
            self.heard.append(text)

    def emit(self, record):
        self.hear(record.getMessage())


class Driver:
    def __init__(self):
        self.nodes = []
        self.complaints = Complaints()
        logging.getLogger("kademlia_dynamic").addHandler(self.complaints)

    async def start(self, n, serialization, bootstrap, settings):
        """Starts n nodes, one after the other. Each joins by the addresses given or, where there are none, by the
        first of these nodes."""
        started = []
        for _ in range(n):
            node = kademlia_dynamic.KademliaServer(serialization=serialization, **settings)
            await node.listen(free_port())
            contacts = [(ip, port) for ip, port in bootstrap]
            if not contacts and started:
                contacts = [(started[0].own_peer.ip, started[0].own_peer.port)]
            await node.bootstrap(contacts)
            started.append(node)
        first = len(self.nodes)
        self.nodes += started
        peers = peers_to_json(node.own_peer for node in started)
        return {"nodes": [dict(peer, node=first + at) for at, peer in enumerate(peers)]}

    async def bootstrap(self, node, bootstrap):
        await self.nodes[node].bootstrap([(ip, port) for ip, port in bootstrap])
        return {}

    async def set(self, node, key, value):
        await self.nodes[node].set(key, from_json(value))
        return {}

    async def get(self, node, key):
        return {"value": to_json(await self.nodes[node].get(key))}

    async def find_node(self, node, target):
        return {"peers": peers_to_json(await self.nodes[node].find_node(target))}

    async def find_value(self, node, key):
        value, peers = await self.nodes[node].find_value(key)
        return {"value": to_json(value), "peers": peers_to_json(peers)}

    async def table(self, node):
        """The node's routing table."""
        return {"peers": peers_to_json(self.nodes[node].routing_table.all_peers())}

    async def held(self, node, key):
        """What the node itself holds under the key, and when that expires (seconds of the Unix epoch)."""
        entry = self.nodes[node].data_store.get(key)
        if entry is None or entry.is_expired():
            return {"value": to_json(None), "expires_at": None}
        return {"value": to_json(entry.value), "expires_at": entry.expires_at}

    async def forget(self, nodes, key):
        """These nodes lose what they hold under the key, all at once: no message is dealt with in between."""
        for node in nodes:
            self.nodes[node].data_store.pop(key, None)
        return {}

    async def stop(self, node):
        """The node leaves without a message, as every legacy node does."""
        self.nodes[node].stop()
        return {}

    async def complaints_heard(self):
        """What the package logged as an error since the start."""
        return {"complaints": self.complaints.heard}

    COMMANDS = frozenset(
        ["start", "bootstrap", "set", "get", "find_node", "find_value", "table", "held", "forget", "stop"]
        + ["complaints_heard"]
    )

    async def obey(self, line):
        command = {}
        try:
            command = json.loads(line)
            fields = {name: value for name, value in command.items() if name not in ("id", "do")}
            if command["do"] not in self.COMMANDS:
                raise ValueError("unknown command %r" % command["do"])
            answer = {"ok": await getattr(self, command["do"])(**fields)}
        except Exception as error:  # whatever went wrong is the asker's to judge
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        answer["id"] = command.get("id")
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def read_lines(loop, lines):
    """Windows' event loop cannot read a pipe: a thread does."""
    for line in sys.stdin:
        loop.call_soon_threadsafe(lines.put_nowait, line)
    loop.call_soon_threadsafe(lines.put_nowait, None)


async def main():
    loop = asyncio.get_running_loop()
    driver = Driver()
    loop.set_exception_handler(lambda _, context: driver.complaints.hear(repr(context.get("exception", context))))
    lines = asyncio.Queue()
    threading.Thread(target=read_lines, args=(loop, lines), daemon=True).start()
    at_work = set()
    while True:
        line = await lines.get()
        if line is None or line.strip() == '"quit"':
            break
        task = asyncio.create_task(driver.obey(line))
        at_work.add(task)
        task.add_done_callback(at_work.discard)
    for node in driver.nodes:
        node.stop()


asyncio.run(main())
