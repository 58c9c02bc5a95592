"""Servers on loopback for the tests: each prints its port, then one JSON object for each message that it received.

  servers.py smtp {plain|starttls|tls} ROOT.pem    mail; with TLS it wants the user "shop" and the password "sesame"
  servers.py https ROOT.pem                        takes any POST
  servers.py s3                                    an S3 service with the bucket "shop"

ROOT.pem is written: the self-signed certificate of localhost. They end when their standard input does.
"""
import asyncio
import datetime
import email
import email.policy
import http.server
import ipaddress
import json
import pathlib
import ssl
import sys
import threading


def say(value):
    print(json.dumps(value), flush=True)


def tls_context(root):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    with open(root, "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    both = root + ".both"
    with open(both, "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context


def smtp(mode, root):
    from aiosmtpd.smtp import SMTP, AuthResult

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
            say({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "subject": message["subject"],
                "tls": session.ssl is not None or mode == "tls",
                "user": session.auth_data,
                "parts": parts,
            })
            return "250 taken"

    def authenticate(server, session, envelope, mechanism, data):
        good = (data.login, data.password) == (b"shop", b"sesame")
        return AuthResult(success=good, auth_data=data.login.decode())

    context = None if mode == "plain" else tls_context(root)
    more = {} if mode == "plain" else {"authenticator": authenticate, "auth_required": True}
    if mode == "starttls":
        more |= {"tls_context": context, "require_starttls": True}
    if mode == "tls":
        more |= {"auth_require_tls": False}

    async def serve():
        loop = asyncio.get_running_loop()
        wrapped = context if mode == "tls" else None
        server = await loop.create_server(lambda: SMTP(Handler(), **more), "127.0.0.1", 0, ssl=wrapped)
        say(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, sys.stdin.read)

    asyncio.run(serve())


def https(root):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            say({"path": self.path, "body": json.loads(body)})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls_context(root).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say(server.server_address[1])
    sys.stdin.read()


def s3():
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="sesame",
    )
    client.create_bucket(Bucket="shop")
    say(port)
    # A line names a folder that everything is copied to.
    for folder in sys.stdin:
        for found in client.list_objects_v2(Bucket="shop").get("Contents", []):
            path = pathlib.Path(folder.strip(), found["Key"])
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file("shop", found["Key"], str(path))
        say("copied")


{"smtp": smtp, "https": https, "s3": s3}[sys.argv[1]](*sys.argv[2:])
