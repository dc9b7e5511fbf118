"""The site as a function of AWS Lambda, behind an HTTP API (payload version 2.0) or a function URL."""

import base64
import io
import sys
from urllib.parse import unquote

from shop.wsgi import application


def handler(event, context):
    """Serves one request. It returns after the response is closed, when no lease is held any more."""
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    environ = _environ(event, content)
    answer = {}

    def start_response(status, headers, exc_info=None):
        answer["statusCode"] = int(status.split(" ", 1)[0])
        answer["headers"] = {name: value for name, value in headers if name != "Set-Cookie"}
        answer["cookies"] = [value for name, value in headers if name == "Set-Cookie"]

    response = application(environ, start_response)
    try:
        answer["body"] = base64.b64encode(b"".join(response)).decode()
        answer["isBase64Encoded"] = True
    finally:
        # Django's request_finished, at which an assisting process gives the lease back.
        response.close()
    return answer


def _environ(event, content):
    """The request as WSGI has it (PEP 3333)."""
    http = event["requestContext"]["http"]
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    environ = {
        "REQUEST_METHOD": http["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(event["rawPath"]).encode().decode("latin-1"),
        "QUERY_STRING": event.get("rawQueryString", ""),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(content)),
        "SERVER_NAME": headers.get("host", "localhost"),
        "SERVER_PORT": headers.get("x-forwarded-port", "443"),
        "SERVER_PROTOCOL": http.get("protocol", "HTTP/1.1"),
        "REMOTE_ADDR": http.get("sourceIp", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": headers.get("x-forwarded-proto", "https"),
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
    if event.get("cookies"):
        environ["HTTP_COOKIE"] = "; ".join(event["cookies"])
    return environ
