# A client of python-socketio that a test controls through lines on its input: its arguments are the URL and
# the transports. It prints what happens, as JSON.

import json
import sys

import socketio

url, *transports = sys.argv[1:]
client = socketio.Client(reconnection_delay=0.1)


def show(*values):
    print(json.dumps(values), flush=True)


@client.event
def connect():
    show("connected", client.transport())


@client.on("question")
def question(data):
    return data[::-1]


client.connect(url, transports=transports, wait_timeout=30)
for line in sys.stdin:
    if line == "echo\n":
        answer, data = client.call("echo", ("€ and 🎉", bytes([0, 1, 255])), timeout=30)
        show("echo", answer, list(data))
    if line == "disconnect\n":
        client.disconnect()
        break
