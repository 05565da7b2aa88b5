"""A web host that only gives out files, under a path of its choice, for tests."""

from __future__ import annotations

import contextlib
import mimetypes
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/people/me/sketches/"


@contextlib.contextmanager
def hosted(files: Mapping[str, bytes], headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of these files, by name; a change of the mapping is seen at once.

    headers: that every answer has as well.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.partition("?")[0].removeprefix(PATH) or "index.html"
            content = files.get(name) if self.path.startswith(PATH) else None
            self.send_response(404 if content is None else 200)
            kind = "text/javascript" if name.endswith("js") else mimetypes.guess_type(name)[0]
            self.send_header("content-type", kind or "application/octet-stream")
            self.send_header("content-length", str(len(content or b"")))
            for header in (headers or {}).items():
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{PATH}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
