"""The other side of the tests of the lease on DynamoDB: two peers, an independent client, a fault proxy.

`peers.py ministack` and `peers.py moto` serve on a free loopback port, which they print. To a line of input they answer
with what has arrived until then, and their own processor time. `peers.py helper` reads commands, a JSON object a line,
and answers each with one. All end when their standard input does.
"""

import asyncio
import collections
import json
import os
import socket
import sys
import threading
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(**answer):
    print(json.dumps(answer), flush=True)


class Arrivals:
    """How many requests of each operation have come in, counted before the peer looks at them."""

    def __init__(self):
        self.counts = collections.Counter()
        threading.Thread(target=self.tell, daemon=True).start()

    def tell(self):
        while os.read(0, 4096):
            # Copied in one step, while requests come in.
            say(arrived=dict(self.counts.copy()), processor=time.process_time())
        os._exit(0)

    def note(self, target):
        self.counts[target.rpartition(".")[2]] += 1

    def of_wsgi(self, application):
        def counted(variables, start):
            self.note(variables.get("HTTP_X_AMZ_TARGET", ""))
            return application(variables, start)

        return counted

    def of_asgi(self, application):
        async def counted(scope, receive, send):
            self.note(dict(scope.get("headers", [])).get(b"x-amz-target", b"").decode())
            await application(scope, receive, send)

        return counted


def announce(port):
    def wait():
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return say(port=port)
            except OSError:
                time.sleep(0.02)

    threading.Thread(target=wait, daemon=True).start()


def ministack():
    port = free_port()
    # What it keeps and what it listens on beside this is not wanted.
    os.environ.update(
        AUTH="true", BIND_HOST="127.0.0.1", GATEWAY_PORT=str(port), IOT_MTLS_ENABLED="0", LOG_LEVEL="ERROR",
        MINISTACK_IMDS_V2_REQUIRED="1"
    )
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    arrivals = Arrivals()
    announce(port)
    import ministack.app

    ministack.app.app = arrivals.of_asgi(ministack.app.app)
    sys.argv = ["ministack"]
    ministack.app.main()


def moto():
    import waitress
    from moto.server import DomainDispatcherApplication, create_backend_app

    port = free_port()
    application = Arrivals().of_wsgi(DomainDispatcherApplication(create_backend_app))
    announce(port)
    # One thread: with several, moto lets several conditional writes win. Each process with many stores keeps as many as
    # 16 connections.
    waitress.serve(
        application, host="127.0.0.1", port=port, threads=1, connection_limit=500, _quiet=True
    )


class Proxy:
    """Passes requests on, one connection to the peer each, and does to them what it is told.

    A fault is {"kind": …, "operation": substring of the target or path, "times": n, …}:
    drop (carried out, no reply), hang (not carried out, no reply for `seconds`), late (no reply; carried out
    after `seconds`), delay (carried out after `seconds`, and answered), status (`status` and `body` as the answer,
    not carried out), cut (half of the answer's body), twice (carried out twice, the second one's answer).
    """

    def __init__(self, upstream, tls=None):
        self.upstream = upstream
        self.tls = tls
        self.faults = []
        self.seen = []
        self.body = None

    async def serve(self):
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0, ssl=self.tls)
        return server.sockets[0].getsockname()[1]

    def fault(self, operation):
        for fault in self.faults:
            if fault["operation"] in operation and fault["times"] != 0:
                fault["times"] -= 1
                return fault
        return {"kind": "none"}

    async def connection(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                headers = {}
                for line in head.decode().split("\r\n")[1:]:
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                operation = headers.get("x-amz-target", "").rpartition(".")[2] or head.decode().split(" ")[1]
                self.seen.append([time.monotonic(), operation])
                if not await self.answer(self.fault(operation), head + body, writer, headers):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            pass
        finally:
            writer.close()

    async def answer(self, fault, request, writer, headers):
        kind = fault["kind"]
        if kind == "hang":
            await asyncio.sleep(fault["seconds"])
            return False
        if kind == "late":
            asyncio.get_running_loop().call_later(
                fault["seconds"], lambda: asyncio.ensure_future(self.forward(request))
            )
            return False
        if kind == "delay":
            await asyncio.sleep(fault["seconds"])
        if kind == "status":
            body = fault["body"].encode()
            head = f"HTTP/1.1 {fault['status']} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            writer.write(head + body)
            await writer.drain()
            return True
        if kind == "twice":
            await self.forward(request)
        head, body = await self.forward(request)
        if kind == "drop":
            return False
        if kind == "cut":
            body = body[: len(body) // 2]
        writer.write(head + body)
        await writer.drain()
        return kind != "cut"

    async def forward(self, request):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.decode().split("\r\n"):
                name, _, value = line.partition(":")
                if name.lower() == "content-length":
                    length = int(value)
            return head, await reader.readexactly(length)
        finally:
            writer.close()


class Metadata(Proxy):
    """An endpoint that gives credentials to who sends the right token, as containers have."""

    def __init__(self):
        super().__init__(0)
        self.token = None
        self.credentials = {}

    async def answer(self, fault, request, writer, headers):
        is_right = self.token is None or headers.get("authorization") == self.token
        body = json.dumps(self.credentials if is_right else {"message": "wrong token"}).encode()
        writer.write(f"HTTP/1.1 {200 if is_right else 400} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


def make_authority(directory):
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name, key, issuer, issuer_key, extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(issuer_key, hashes.SHA256())

    def save(name, certificate, key=None):
        with open(f"{directory}/{name}", "wb") as file:
            file.write(certificate.public_bytes(serialization.Encoding.PEM))
            if key:
                file.write(key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    own_key = ec.generate_private_key(ec.SECP256R1())
    own = certificate(
        "authority", own_key, "authority", own_key,
        [(x509.BasicConstraints(ca=True, path_length=0), True),
         (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)])
    save("authority.pem", own)
    for name, alternative in [
        ("here", x509.IPAddress(ipaddress.ip_address("127.0.0.1"))), ("elsewhere", x509.DNSName("example.test")),
    ]:
        key = ec.generate_private_key(ec.SECP256R1())
        save(f"{name}.pem", certificate(
            name, key, "authority", own_key, [(x509.SubjectAlternativeName([alternative]), False)]), key)


class Helper:
    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.servers = {}
        self.clients = {}
        self.pests = []

    def client(self, service, port):
        import boto3
        from botocore.config import Config

        if (service, port) not in self.clients:
            self.clients[service, port] = boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="eu-central-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self.clients[service, port]

    def start(self, server):
        port = asyncio.run_coroutine_threadsafe(server.serve(), self.loop).result()
        self.servers[port] = server
        return {"port": port}

    def do(self, command):
        what = command.pop("do")
        return getattr(self, what)(**command)

    def call(self, port, service, operation, arguments):
        from botocore.exceptions import ClientError

        try:
            answer = getattr(self.client(service, port), operation)(**arguments)
            answer.pop("ResponseMetadata", None)
            return {"answer": json.loads(json.dumps(answer, default=str))}
        except ClientError as error:
            return {"error": error.response["Error"]["Code"]}

    def proxy(self, port):
        return self.start(Proxy(port))

    def tls_proxy(self, port, certificate):
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return self.start(Proxy(port, context))

    def authority(self, directory):
        """An authority of its own, and what it signed for 127.0.0.1 and for another host."""
        make_authority(directory)
        return {}

    def faults(self, port, faults):
        self.servers[port].faults = faults
        return {}

    def seen(self, port):
        return {"seen": [[str(at), operation] for at, operation in self.servers[port].seen]}

    def scrape(self, port, path, method):
        import urllib.error
        import urllib.request

        from prometheus_client.parser import text_string_to_metric_families

        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, kind, text = answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return {"status": error.code}
        except OSError as error:
            return {"status": 0, "error": str(error)}
        samples = [
            {"name": sample.name, "type": family.type, "help": family.documentation, "labels": sample.labels,
             "value": str(sample.value)}
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
        return {"status": status, "type": kind, "samples": samples}

    def pester(self, port, times):
        """Connections that send garbage, or never come to an end, and stay open here."""
        begins = [
            b"\x00\xff\x16\x03" * 500,
            b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-",
            b"GET /" + b"a" * 200_000,
            b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\nabc",
            b"",
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000,
        ]
        for number in range(times):
            pest = socket.create_connection(("127.0.0.1", port), 5)
            pest.settimeout(1)
            self.pests.append(pest)
            try:
                pest.sendall(begins[number % len(begins)])
            except OSError:
                pass
        return {}

    def metadata(self):
        return self.start(Metadata())

    def grant(self, port, token, credentials):
        self.servers[port].token = token
        self.servers[port].credentials = credentials
        return {}


def helper():
    helper = Helper()
    say(ready=True)
    for line in sys.stdin:
        command = json.loads(line)
        number = command.pop("number")
        try:
            say(number=number, **helper.do(command))
        except Exception as error:  # the test that asked has to say so
            say(number=number, failure=f"{type(error).__name__}: {error}")


{"ministack": ministack, "moto": moto, "helper": helper}[sys.argv[1]]()
