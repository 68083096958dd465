"""A small model hub on this machine: the part of the hub's HTTP interface that uploads and downloads need."""

import base64
import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

USER, TOKEN, READER = "someone", "hf_writer", "hf_reader"


class Hub:
    """What it holds. commits: repository → list of (id, name → bytes); pages: repository → its data."""

    def __init__(self):
        self.commits, self.private, self.data, self.stored = {}, {}, {}, {}
        self.asked = []

    def files(self, repository, revision="main"):
        """The files of a commit, None if there is none."""
        for number, (name, files) in enumerate(reversed(self.commits.get(repository, []))):
            if revision == name or (revision == "main" and number == 0):
                return name, files
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    @property
    def hub(self):
        return self.server.hub

    def answer(self, status, value=b"", **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(text))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, said, code=""):
        headers = {"X_Error_Message": said} | ({"X_Error_Code": code} if code else {})
        self.answer(status, {"error": said}, **headers)

    def handle_one(self):
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{self.command} {path}")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        parts = path.strip("/").split("/")
        if path == "/api/whoami-v2":
            if token not in (TOKEN, READER):
                return self.refuse(401, "Invalid credentials in Authorization header")
            return self.answer(200, {"type": "user", "name": USER, "orgs": [{"name": "club"}]})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.command in ("POST", "PUT") and not path.startswith("/store/") and token != TOKEN:
            return self.refuse(403, "Forbidden: you need a token with write access")
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path.startswith("/store/"):
            self.hub.stored[parts[1]] = body
            return self.answer(200)
        if path.endswith("/info/lfs/objects/batch"):
            return self.batch(json.loads(body))
        if parts[:2] == ["api", "models"]:
            return self.model("/".join(parts[2:4]), parts[4:], body)
        if len(parts) > 4 and parts[2] == "resolve":
            return self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self.refuse(404, f"no such address {path}", "RepoNotFound")

    do_GET = do_POST = do_PUT = do_HEAD = handle_one

    def create(self, asked):
        repository = f"{asked.get('organization') or USER}/{asked['name']}"
        if repository in self.hub.commits:
            said = {"error": "You already created this model repo"}
            return self.answer(409, said | {"url": f"{self.server.address}/{repository}"})
        self.hub.commits[repository] = []
        self.hub.private[repository] = asked.get("private", asked.get("visibility") == "private")
        return self.answer(200, {"url": f"{self.server.address}/{repository}"})

    def batch(self, asked):
        found = [
            one | {"actions": {"upload": {"href": f"{self.server.address}/store/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        return self.answer(200, {"transfer": "basic", "objects": found})

    def model(self, repository, rest, body):
        if repository in self.hub.data and not rest:
            return self.answer(200, {"id": repository, "cardData": self.hub.data[repository]})
        if repository not in self.hub.commits:
            return self.refuse(404, "Repository not found", "RepoNotFound")
        if rest[:1] == ["preupload"]:
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": modes})
        if rest[:1] == ["commit"]:
            return self.commit(repository, [json.loads(line) for line in body.splitlines()])
        found = self.hub.files(repository, rest[1] if len(rest) > 1 else "main")
        if found is None:
            return self.refuse(404, "Invalid rev id", "RevisionNotFound")
        if rest[:1] == ["tree"]:
            return self.answer(200, [self.entry(*item) for item in found[1].items()])
        return self.answer(200, {"id": repository, "sha": found[0], "siblings": []})

    def entry(self, name, held):
        sha = hashlib.sha256(held).hexdigest()
        return {"type": "file", "path": name, "size": len(held), "oid": sha[:40]}

    def commit(self, repository, lines):
        files = dict((self.hub.files(repository) or ("", {}))[1])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
        name = hashlib.sha1(repr(sorted(files)).encode() + bytes(len(self.hub.asked))).hexdigest()
        self.hub.commits[repository].append((name, files))
        facts = {"commitUrl": f"{self.server.address}/{repository}/commit/{name}"}
        return self.answer(200, facts | {"commitOid": name, "success": True})

    def file(self, repository, revision, name):
        found = self.hub.files(repository, revision)
        if found is None or name not in found[1]:
            return self.refuse(404, "Entry not found", "EntryNotFound")
        held = found[1][name]
        sha = hashlib.sha256(held).hexdigest()
        return self.answer(200, held, ETag=f'"{sha}"', X_Repo_Commit=found[0])


@contextmanager
def serving():
    """A running hub; `address` and `hub` are its attributes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.hub, server.address = Hub(), f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
