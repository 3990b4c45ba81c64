"""How gunicorn serves the pages: processes, limits on a request, logs. The only place for these."""

import os
from pathlib import Path

from gunicorn.glogging import Logger

from trialsite import audit, settings

# `serve` opens the port itself and hands the socket over, so that a restart of gunicorn refuses nobody
bind = os.environ.get("TRIALSITE_BIND") or ":".join(
    (os.environ.get("TRIALSITE_HOST", "127.0.0.1"), os.environ.get("TRIALSITE_PORT", "8000"))
)
worker_class = "gthread"
workers = int(os.environ.get("TRIALSITE_WEB_PROCESSES", "2"))
threads = 4
preload_app = True  # a killed process is back at once, as a copy of the first one; nothing is connected by then
# a process is replaced now and then, against slow leaks; not all at once
max_requests, max_requests_jitter = 5000, 500
timeout, graceful_timeout, keepalive = 30, 5, 5
limit_request_line, limit_request_fields, limit_request_field_size = 4094, 60, 8190
# the heartbeat file must not wait for a disk
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn makes a private file
control_socket_disable = True
logconfig_dict = settings.LOGGING


def without_token(path):
    """A one-time link opens an account, the address of a calendar tells visits: who reads the log must not get them."""
    for secret in ("/set-password/", "/visits/feed/"):
        door, found, _ = path.partition(secret)
        if found:
            return f"{door}{found}..."
    return path


class JsonAccessLog(Logger):
    """One JSON line per request. Without the query string, which may hold what somebody searched for."""

    def access(self, resp, req, environ, request_time):
        headers = {name.lower(): value for name, value in resp.headers}
        known = audit.request_id.set(headers.get("x-request-id", ""))
        try:
            self.access_log.info(
                "request",
                extra={
                    "method": environ.get("REQUEST_METHOD"),
                    "path": without_token(environ.get("PATH_INFO", "")),
                    "status": int(str(resp.status).split()[0]),
                    "bytes": resp.sent,
                    "milliseconds": round(request_time.total_seconds() * 1000),
                    "address": environ.get("REMOTE_ADDR"),
                },
            )
        finally:
            audit.request_id.reset(known)


logger_class = JsonAccessLog
