"""A sampling handler with nothing but Python's standard library. It answers with what it was asked."""
import base64, hmac, json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_KEY"].removeprefix("whsec_"))

def genuine(headers, body):
    sent, given = headers.get("webhook-timestamp", ""), headers.get("webhook-signature", "")
    signed = f"{headers.get('webhook-id')}.{sent}.".encode() + body
    ours = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    fresh = sent.isdecimal() and abs(time.time() - int(sent)) < 300
    return fresh and any(hmac.compare_digest(ours, one.encode()) for one in given.split())

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not genuine(self.headers, body):
            return self.send_error(401)
        content = json.loads(body)["params"]["messages"][-1]["content"]
        blocks = content if isinstance(content, list) else [content]
        answer = "You said: " + " ".join(b["text"] for b in blocks if b["type"] == "text")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(answer.encode())

if len(KEY) < 24:
    sys.exit("WEBHOOK_KEY is too short: make one with `openssl rand -base64 32`")
host, port = (sys.argv[1:] or ["0.0.0.0:8080"])[0].rsplit(":", 1)
server = ThreadingHTTPServer((host, int(port)), Handler)
print(f"listening on {host}:{server.server_port}", flush=True)
server.serve_forever()
