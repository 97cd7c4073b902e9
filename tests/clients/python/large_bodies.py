"""Sends bodies that the server refuses: `python large_bodies.py URL`. Prints the statuses as JSON."""

import http.client
import json
import sys
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
statuses = []
for mib in (1, 3, 5):
    for headers in (
        {"content-type": "application/json"},
        {"content-type": "text/plain"},
        {"content-type": "application/json", "mcp-session-id": "unknown"},
    ):
        connection = http.client.HTTPConnection(url.netloc)
        connection.request("POST", url.path, b" " * (mib << 20), headers)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
print(json.dumps(statuses))
